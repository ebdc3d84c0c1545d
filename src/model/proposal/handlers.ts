import { isRefused } from '../ioasid/index.ts';
import type { Refusal } from '../reason.ts';
import { DONE, ioasArg, type ProposalAnswer, type ProposalCall, type ProposalHandler } from './call.ts';
import { findIoas } from './spaces.ts';
import type { Ioas, ProposalFile } from './state.ts';

/** What handlers of several generations are made of. */

export const answer = (refusal: Refusal): ProposalAnswer => refusal ?? DONE;

/** A command on one address space of the descriptor, which the argument `name` tells. */
export function onIoas(
  run: (call: ProposalCall, iommu: ProposalFile, ioas: Ioas) => ProposalAnswer,
  name = 'ioasid',
): ProposalHandler {
  return (call) => {
    const ioas = findIoas(call.file!, ioasArg(call, name));
    return isRefused(ioas) ? ioas : run(call, call.file!, ioas);
  };
}
