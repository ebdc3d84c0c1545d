import { U64_LAST } from '../fields.ts';
import type { UnplacedCall } from './importer.ts';

/** Descriptors, processes and error numbers have 32 bits. */
const I32_FIRST = -(2 ** 31);
const I32_LAST = 2 ** 31 - 1;

const isSmall = (value: number): boolean =>
  Number.isInteger(value) && value >= I32_FIRST && value <= I32_LAST;
const isWide = (value: bigint): boolean => value >= 0n && value <= U64_LAST;

/**
 * Whether the numbers of a call are such as a call can have. A damaged log may hold any digits, and
 * everything behind an importer counts on the types of the kernel.
 */
export function isSound(call: UnplacedCall): boolean {
  if (!isSmall(call.pid) || call.pid < 0 || (call.tid !== null && !isSmall(call.tid))) return false;
  if ('fd' in call && !isSmall(call.fd)) return false;
  if ('errno' in call && !(isSmall(call.errno) && call.errno >= 0)) return false;
  if ('replied' in call && !Number.isSafeInteger(call.ret)) return false;
  switch (call.op) {
    case 'ioctl':
      return isSmall(call.ret) && isWide(call.argp) && (call.newFd === null || isSmall(call.newFd));
    case 'open':
      return isSmall(call.ret) && isWide(call.flags);
    case 'mmap':
      return (
        isWide(call.addr) &&
        isWide(call.len) &&
        isWide(call.off) &&
        isWide(call.flags) &&
        isSmall(call.prot) &&
        (call.mapped === null || (isWide(call.mapped) && call.mapped + call.len <= U64_LAST))
      );
    case 'munmap':
      return isWide(call.addr) && isWide(call.len) && call.addr + call.len <= U64_LAST;
    case 'read':
    case 'pread':
    case 'write':
    case 'pwrite':
      return Number.isSafeInteger(call.len) && isWide(call.addr) && (call.off === null || isWide(call.off));
    case 'fork':
    case 'waitpid':
      return isSmall(call.child) && call.child >= 0 && isSmall(call.ret);
    default:
      return true;
  }
}
