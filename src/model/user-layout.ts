/**
 * Where a process of an architecture has its memory: what is no user address at all, and where the mappings
 * are that a recorder of mmap does not see. Pages of 4096 bytes.
 */
export interface UserLayout {
  /** First page that is no user page. */
  readonly endPage: number;
  /**
   * Places of what a recorder of mmap does not see, first and last page inclusive: a fixed program image and
   * its heap (below 4 GiB), a relocatable image and its heap, libraries and the stack. Elsewhere a program
   * maps only by asking for the address.
   */
  readonly usualPlaces: readonly (readonly [number, number])[];
}

/** Last page below 4 GiB. */
export const LOW_PAGES_END = 2 ** 20 - 1;
const LOW: readonly [number, number] = [0, LOW_PAGES_END];

/** Four-level tables; the topmost page below 2^47 is kept empty. */
const X86_64: UserLayout = {
  endPage: 2 ** 35 - 1,
  usualPlaces: [LOW, [0x550000000, 0x56fffffff], [0x7e0000000, 2 ** 35 - 2]],
};
/** 48 bits of virtual addresses: images from 2/3 of them on, mappings and stack below 2^48. */
const AARCH64: UserLayout = {
  endPage: 2 ** 36,
  usualPlaces: [LOW, [0xaaa000000, 0xabfffffff], [0xfe0000000, 2 ** 36 - 1]],
};
/** Sv57 at most; without a hint everything lies in the lower 47 bits, as with Sv48. */
const RISCV64: UserLayout = { ...X86_64, endPage: 2 ** 44 };

const LAYOUTS: Readonly<Record<string, UserLayout>> = { aarch64: AARCH64, riscv64: RISCV64 };

/** Layout of an architecture as `uname -m` names it; that of x86-64 where it is not known. */
export function layoutOf(arch: string | null): UserLayout {
  return LAYOUTS[arch ?? ''] ?? X86_64;
}
