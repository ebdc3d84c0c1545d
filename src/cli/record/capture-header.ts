import { readdirSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { packageVersion } from '../version.ts';
import { readTopologyOf } from './sysfs-topology.ts';

/** Architectures as `uname -m` names them. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'x86_64',
  arm64: 'aarch64',
  riscv64: 'riscv64',
};
const PAGE_BYTES = 4096;
const AT_PAGESZ = 6n;

/** The header line of a recording that starts now, without its newline. */
export function captureHeader(): string {
  const topology = readTopologyOf();
  return JSON.stringify({
    op: 'header',
    format: 'ioasis-capture',
    version: 1,
    producer: `ioasis record ${packageVersion()}`,
    kernel: release(),
    arch: ARCHITECTURES[process.arch] ?? process.arch,
    page_size: pageBytes(),
    ...quirks(),
    ...(topology === null ? {} : { topology }),
  });
}

/** The kernel tells each program its page size in the auxiliary vector. */
function pageBytes(): number {
  try {
    const vector = readFileSync('/proc/self/auxv');
    for (let at = 0; at + 16 <= vector.length; at += 16) {
      if (vector.readBigUInt64LE(at) === AT_PAGESZ) return Number(vector.readBigUInt64LE(at + 8));
    }
  } catch {
    // Without /proc the usual size is as good as any.
  }
  return PAGE_BYTES;
}

/** /dev/vfio/vfio is served by the type1 driver where it is loaded, else by iommufd. */
function quirks(): { readonly quirks?: readonly string[] } {
  try {
    return readdirSync('/sys/module').includes('vfio_iommu_type1')
      ? { quirks: ['vfio-container=type1'] }
      : {};
  } catch {
    return {};
  }
}
