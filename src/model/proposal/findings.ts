import type { Kernel } from '../kernel.ts';
import type { ProposalFinding } from './state.ts';

export type { ProposalFinding };

const NONE: readonly ProposalFinding[] = [];

/**
 * Hazards that the calls so far have shown, oldest first; new ones are appended, so that whoever looks
 * after each call sees them by their number. Ids: `pasid-teardown-order` (a step of taking a PASID out of use
 * came before one that makes it safe: stop, clear, invalidate, drain, flush, put), `kvm-translation-stale` (a
 * PASID went back while a virtual CPU still translates to it). A trace of another kernel has none.
 */
export function proposalFindings({ state }: Kernel): readonly ProposalFinding[] {
  return state.proposal?.findings ?? NONE;
}
