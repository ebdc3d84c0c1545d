import { isEffective, type JsonRecord, limitsOf } from '../trace/index.ts';
import type { ProcessLimits } from './accounting-state.ts';
import type { Kernel } from './kernel.ts';
import type { Process } from './state.ts';

/** Records that tell what a process may lock in memory: the note `limits`, and cap_set_proc. */

/** Root with all capabilities, until a record says otherwise. */
const UNLIMITED: ProcessLimits = { memlockPages: null, uid: 0, ipcLock: true, sysResource: true };

/** What is known of the process; never to be changed. */
export function limitsOfProcess({ limits }: Process): Readonly<ProcessLimits> {
  return limits ?? UNLIMITED;
}

export function noteLimits(kernel: Kernel, process: Process, fields: JsonRecord): void {
  const { memlockBytes, uid, capabilities } = limitsOf(fields);
  const limits = ownLimits(process);
  if (uid !== undefined) limits.uid = uid;
  if (capabilities !== undefined) {
    limits.ipcLock = capabilities.includes('IPC_LOCK');
    limits.sysResource = capabilities.includes('SYS_RESOURCE');
  }
  if (memlockBytes === undefined) return;
  setMemlock(kernel, process, memlockBytes === null ? null : wholePages(kernel, memlockBytes));
}

/** RLIMIT_MEMLOCK of a process, whose limits are known or learned; in pages of 4096 bytes, null: none. */
export function setMemlock(kernel: Kernel, process: Process, pages: number | null): void {
  process.limits!.memlockPages = pages;
  // The limit is looked up in the process whenever pages are charged, so it counts for old mappings too.
  for (const payer of kernel.state.locked.payers) {
    if (payer.mm === process.mm) payer.limitPages = pages;
  }
}

/** Limits that replies tell of, to be changed. */
export function learnLimits(process: Process): ProcessLimits {
  process.limits ??= { ...UNLIMITED, learned: true };
  return process.limits;
}

/** RLIMIT_MEMLOCK >> PAGE_SHIFT, in pages of 4096 bytes. */
function wholePages({ profile }: Kernel, bytes: bigint): number {
  const pages = Number(bytes / BigInt(profile.pageBytes));
  return pages * (profile.pageBytes / 4096);
}

/** `cap_set_proc` with the text form of the set, as far as it succeeded. */
export function noteCapabilities(process: Process, { text, ret }: JsonRecord): void {
  if (typeof text !== 'string' || Number(ret ?? 0) !== 0) return;
  const ipcLock = isEffective(text, 'IPC_LOCK');
  const sysResource = isEffective(text, 'SYS_RESOURCE');
  if (ipcLock === undefined || sysResource === undefined) return;
  Object.assign(ownLimits(process), { ipcLock, sysResource });
}

/** What is recorded counts alone: what replies told before is forgotten. */
function ownLimits(process: Process): ProcessLimits {
  if (process.limits === undefined || process.limits.learned) process.limits = { ...UNLIMITED };
  return process.limits;
}
