import { type EffectSink, NO_EFFECTS } from '../src/model/index.ts';
import type { Call } from '../src/trace/index.ts';
import type { Verdict } from './compare.ts';

/** What came of one call. `unanswered`: the model knows the call, and no reply was recorded. */
export type Outcome = Verdict | 'not-modelled' | 'unanswered';

/**
 * Watches a replay from inside: what is told between `before` and `after` is caused by that call; what is
 * told after it, by the exit of a process that is taken to follow. The call may be an object that is used
 * again for the next one.
 */
export interface ReplayWatcher {
  readonly effects: EffectSink;
  before(call: Call): void;
  /**
   * The kernel has answered; its reply is still there to be looked at. `outcome` is null for what is no call
   * (a note, an access of a device).
   */
  after(call: Call, outcome?: Outcome | null): void;
}

type Tell = (a: unknown, b: unknown, c: unknown, d: unknown, e: unknown) => void;

/** Tells each effect to both, the first one first; what the second does not listen to costs nothing. */
export function tellBoth(first: EffectSink, second: EffectSink): EffectSink {
  const names = Object.keys(NO_EFFECTS) as (keyof EffectSink)[];
  const both = names.map((name) => {
    const one = first[name] as Tell;
    const other = second[name] as Tell;
    if (other === NO_EFFECTS[name]) return [name, one];
    // No effect has more than five facts; a list of them would be made anew for each map and unmap.
    const tell: Tell = (a, b, c, d, e) => {
      one(a, b, c, d, e);
      other(a, b, c, d, e);
    };
    return [name, tell];
  });
  return Object.fromEntries(both) as EffectSink;
}
