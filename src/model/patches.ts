import { enablePatches, Immer, type Patch } from 'immer';
import type { Call } from '../trace/index.ts';
import { execute } from './execute.ts';
import type { Kernel, Reply } from './kernel.ts';

enablePatches();
// The replay goes on in place on what a draft leaves behind, so nothing may be frozen.
const immer = new Immer({ autoFreeze: false });

/** What a call answered, and what it changed of the control state. */
export interface PatchedReply {
  readonly reply: Reply;
  /** Immer patches of the control state; ranges are told as effects, not as patches. */
  readonly patches: readonly Patch[];
}

/**
 * As `execute`, on an Immer draft of the control state: the patches are the answer to "what did this call
 * change". The state before stays as it was for whoever holds it. Costs tens of microseconds, so a replay
 * does not use it.
 */
export function executeWithPatches(kernel: Kernel, call: Call): PatchedReply {
  const before = kernel.state;
  try {
    const [after, patches] = immer.produceWithPatches(before, (draft) => {
      kernel.state = draft as Kernel['state'];
      execute(kernel, call);
    });
    kernel.state = after;
    return { reply: kernel.reply, patches };
  } catch (error) {
    kernel.state = before;
    throw error;
  }
}
