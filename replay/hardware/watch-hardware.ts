import type { Kernel } from '../../src/model/index.ts';
import type { ReplayWatcher } from '../watcher.ts';
import { afterCall, historySink } from './follow-history.ts';
import { createHistory, type History } from './history.ts';

/** Follows the hardware while a replay runs that somebody needs for something else too. */
export function watchHardware(): { readonly history: History; watch(kernel: Kernel): ReplayWatcher } {
  const history = createHistory();
  return {
    history,
    watch: (kernel) => ({
      effects: historySink(history, kernel),
      before: () => {},
      after: (call, outcome) => afterCall(history, kernel, call, outcome === 'diverged'),
    }),
  };
}
