/** QEMU's trace logs: the log backend, and the simple backend as scripts/simpletrace.py prints it. */
export { QEMU_LOG } from './log.ts';
