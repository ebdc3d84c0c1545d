/** Public entry of the generations of 2020 and 2021. */
export { executeProposal } from './execute.ts';
export { type ProposalFinding, proposalFindings } from './findings.ts';
export { isGeneration } from './generation.ts';
export { renderHardware } from './hardware.ts';
export { exitProposalProcess } from './processes.ts';
