/**
 * Control state of locked memory: who is charged for pinned pages, and how many pages each has been charged.
 * Pages here are of 4096 bytes, as everywhere in the model.
 */

/** What the kernel asks of a process before it locks memory. A process without any is root: not limited. */
export interface ProcessLimits {
  /** RLIMIT_MEMLOCK in whole pages of the CPU; null: no limit. */
  memlockPages: number | null;
  /** Real user id. */
  uid: number;
  /** CAP_IPC_LOCK is effective. */
  ipcLock: boolean;
  /** CAP_SYS_RESOURCE is effective. */
  sysResource: boolean;
  /** Nothing recorded tells of them: only replies did. */
  learned?: true;
}

/**
 * Who is charged for an iopt_pages, and how: `account_mode`, `source_user`, `source_mm` and the limit of
 * `source_task`. All iopt_pages of one process, user and mode share one.
 */
export interface Payer {
  /** `user`: `locked_vm` of the user; `mm`: of the address space. */
  readonly mode: 'user' | 'mm';
  readonly uid: number;
  /** Address space in UserMemory, which also names the process. */
  readonly mm: number;
  /** RLIMIT_MEMLOCK of the process now, or when it ended; null: no limit. */
  limitPages: number | null;
  /** Live iopt_pages that it is charged for. */
  pageSets: number;
}

export interface LockedMemory {
  /** `user_struct.locked_vm` by uid; a user without any is not listed. */
  readonly users: Record<number, number>;
  /** `mm_struct.locked_vm` by address space; one without any is not listed. */
  readonly spaces: Record<number, number>;
  /** In the order in which they came; `PagesTable.payer` names one by its place, from 1 on. */
  readonly payers: Payer[];
}

export function createLockedMemory(): LockedMemory {
  return { users: {}, spaces: {}, payers: [] };
}

export function isNothingLocked({ users, spaces, payers }: LockedMemory): boolean {
  return payers.length + Object.keys(users).length + Object.keys(spaces).length === 0;
}
