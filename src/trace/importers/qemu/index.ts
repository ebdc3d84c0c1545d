/** QEMU's trace logs: the log backend, and the simple backend, binary or as simpletrace.py prints it. */
export { QEMU_LOG } from './log.ts';
export { createSimpleTraceReader, SIMPLE_MAGIC } from './simple-trace.ts';
