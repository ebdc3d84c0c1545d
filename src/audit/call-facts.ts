import { callName } from '../../replay/index.ts';
import type { Call } from '../trace/index.ts';
import type { PasidCall } from './event.ts';

/** The call that a replay is at, as events name it. */
export interface CurrentCall {
  /** Begins with a call, before the model executes it. */
  begin(call: Call): void;
  /** The call has been answered: what follows comes from a process that is taken to be gone. */
  end(): void;
  facts(): PasidCall;
}

/** `kernel` is the name of the profile. */
export function followCalls(kernel: string): CurrentCall {
  let nth = 0;
  let now: Call | null = null;
  // The record is read again for the next call, so its facts are taken out at the first event.
  let facts: PasidCall | null = null;
  let isOver = false;
  return {
    begin(next) {
      now = next;
      facts = null;
      isOver = false;
      if (next.op !== 'note') nth += 1;
    },
    end() {
      isOver = true;
      facts = null;
    },
    facts() {
      if (facts !== null) return facts;
      if (now === null) throw new Error('an effect came before the first call');
      const { seq, pid } = now;
      const fd = !isOver && 'fd' in now && now.fd >= 0 ? now.fd : null;
      facts = { seq, nth, pid, fd, name: isOver ? 'exit' : callName(now, kernel) };
      return facts;
    },
  };
}
