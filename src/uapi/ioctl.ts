/** What one row of the ioctl tables says. */

import type { EnumTableName } from './flags.ts';
import type { StructLayout } from './layout.ts';

/** Descriptors that answer ioctls of the user API; other kinds have none. */
export type FdKind = 'iommufd' | 'container' | 'group' | 'device';

export interface IoctlEntry {
  readonly name: string;
  /** The whole command word of `_IO(';', nr)` on x86, arm64, riscv and s390. */
  readonly cmd: number;
  readonly kinds: readonly FdKind[];
  /**
   * What the third argument is: a pointer to `layout`, a plain number, a pointer to a C string, or
   * nothing.
   */
  readonly argument: 'struct' | 'value' | 'string' | 'none';
  readonly layout: StructLayout | null;
  /** Names of a plain number. */
  readonly values?: EnumTableName;
  /**
   * First kernel version that has it. '6.2', the oldest that is modelled, also stands for everything
   * before.
   */
  readonly since: string;
  /** The IOMMU driver of a container that the command belongs to, where the same number has two owners. */
  readonly driver?: 'type1' | 'spapr';
}

/** A row whose argument points to a struct. Keeps the literal types of name and number. */
export function structIoctl<const Name extends string, const Cmd extends number>(
  name: Name,
  cmd: Cmd,
  kinds: readonly FdKind[],
  layout: StructLayout,
  since: string,
): IoctlEntry & { readonly name: Name; readonly cmd: Cmd } {
  return { name, cmd, kinds, argument: 'struct', layout, since };
}
