import type { IoctlCall } from './call.ts';

/** An ioctl that a reader fills anew for each call, so that it makes none. */
export type ReusedIoctl = { -readonly [Key in keyof IoctlCall]: IoctlCall[Key] };

/** Has every member from the start, so that its shape never changes. */
export function createReusedIoctl(): ReusedIoctl {
  return {
    op: 'ioctl',
    seq: 0,
    pid: 0,
    tid: null,
    tNs: null,
    extra: null,
    replied: false,
    ret: 0,
    errno: 0,
    fd: 0,
    kind: '?',
    cmd: 0,
    argp: 0n,
    argFault: false,
    arg: null,
    out: null,
    mem: [],
    newFd: null,
  };
}
