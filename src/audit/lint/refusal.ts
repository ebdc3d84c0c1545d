import {
  factsOf,
  findRemedy,
  firstAreaIn,
  markChecks,
  NO_AREA,
  planChecks,
  spaceOf,
} from '../../model/index.ts';
import { mappedLinks } from './area-book.ts';
import type { ChainLink } from './finding.ts';
import { bornLink } from './object-lives.ts';
import type { LintWorld } from './rule.ts';

/** What the state says about the refusal of the call that is just over: as `ioasis explain` tells it. */
export interface RefusalFacts {
  readonly texts: readonly string[];
  /** The calls that made what the texts are about. */
  readonly links: readonly ChainLink[];
  /** When the call would be let pass; null when the state does not tell. */
  readonly passes: string | null;
}

const NOTHING: RefusalFacts = { texts: [], links: [], passes: null };

/** For rare refusals: it decodes the call and searches the state. */
export function explainRefusal(world: LintWorld): RefusalFacts {
  const { kernel, call, lives, areas } = world;
  const { record, reason } = call;
  if (reason === null) return NOTHING;
  const facts = factsOf(kernel, record);
  const plan = planChecks(kernel, record, facts);
  const at = plan === null ? null : markChecks(plan, reason).find(({ status }) => status === 'refused')?.at;
  const remedy = findRemedy(reason.id, { ...facts, command: plan?.command ?? '', at: at ?? null });
  if (remedy === null) return NOTHING;
  const links = remedy.findings.flatMap(({ origin }): ChainLink[] => {
    if (origin === null) return [];
    if (origin.kind === 'object') {
      const life = lives.find(origin.context, origin.id);
      return life === undefined ? [] : [bornLink(life)];
    }
    const ioas = kernel.state.contexts[origin.context]?.objects[origin.ioas];
    if (ioas?.type !== 'ioas') return [];
    const space = spaceOf(kernel, ioas);
    const [page, offset] = [Number(origin.iova >> 12n), Number(origin.iova & 0xfffn)];
    const slot = firstAreaIn(space.areas, page, offset, page, offset);
    return slot === NO_AREA ? [] : mappedLinks(areas.of(space), slot);
  });
  return {
    texts: remedy.findings.map(({ what, how }) => `${what} ${how}`.trim()),
    links,
    passes: remedy.passes,
  };
}

/** The link of the call itself. */
export function hereLink({ call }: LintWorld, role: string, says: string): ChainLink {
  return { seq: call.seq, role, says };
}
