import type { Rule } from '../lint/rule.ts';
import { destroyBusyLoop } from './destroy-busy-loop.ts';
import { detachOrder } from './detach-order.ts';
import { doubleDestroy } from './double-destroy.ts';
import { mapNeverUnmapped } from './map-never-unmapped.ts';
import { mapOverMapped } from './map-over-mapped.ts';
import { unexplainedAnswer } from './unexplained-answer.ts';
import { unmapNothing } from './unmap-nothing.ts';
import { unmapPartialSurprise } from './unmap-partial-surprise.ts';
import { unmapSplitsArea } from './unmap-splits-area.ts';
import { useAfterDestroy } from './use-after-destroy.ts';

/** All rules, by id. */
export const RULES: readonly Rule[] = [
  destroyBusyLoop,
  detachOrder,
  doubleDestroy,
  mapNeverUnmapped,
  mapOverMapped,
  unexplainedAnswer,
  unmapNothing,
  unmapPartialSurprise,
  unmapSplitsArea,
  useAfterDestroy,
];
