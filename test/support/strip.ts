import type { Call } from '../../src/trace/index.ts';

const NO_REPLY = { replied: false, ret: 0, errno: 0 } as const;

/**
 * The call as a predictor may see it: without `out`, `ret`, `errno` and `mem[].after`. What open and mmap
 * answered is an input and stays.
 */
export function stripReply(call: Call): Call {
  switch (call.op) {
    case 'ioctl': {
      const mem = call.mem.map((buffer) => ({ ...buffer, after: null }));
      return { ...call, ...NO_REPLY, out: null, newFd: null, mem };
    }
    case 'read':
    case 'pread':
      return { ...call, ...NO_REPLY, out: null };
    case 'write':
    case 'pwrite':
    case 'close':
      return { ...call, ...NO_REPLY };
    default:
      return call;
  }
}
