/** What bpftrace prints: of recorder/bpftrace/ioasis.bt, and of scripts that print entry and exit apart. */
export { BPFTRACE_PLAIN } from './plain.ts';
export { BPFTRACE_RECORDER } from './recorder.ts';
