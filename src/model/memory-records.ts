import {
  decodeByteString,
  type ForkCall,
  type MmapCall,
  type MunmapCall,
  type Note,
  type OtherCall,
  type WaitpidCall,
} from '../trace/index.ts';
import { offsetOf, pageOf } from './address.ts';
import { forkProcess, noteTaken, takeDescriptor } from './descriptors.ts';
import { fileMemory, resizeFile } from './file-memory.ts';
import { replaceRange } from './held-pages.ts';
import type { Kernel } from './kernel.ts';
import { noteRules } from './memory-rule.ts';
import { noteCapabilities, noteLimits } from './process-limits.ts';
import type { Process } from './state.ts';
import { knownBytes, storeBytes } from './user-bytes.ts';
import type { Backing, UserMemory } from './user-memory.ts';
import { noteWindow } from './window.ts';

/**
 * Records that tell about memory and processes: mmap, munmap, memory files, forks, capabilities and
 * notes.
 */

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1n;
const MAP_HUGETLB = 0x40000n;
const MFD_HUGETLB = 4;

export function noteMemory(
  kernel: Kernel,
  process: Process,
  record: MmapCall | MunmapCall | Note | ForkCall | WaitpidCall | OtherCall,
): void {
  switch (record.op) {
    case 'mmap':
      noteMmap(kernel, process, record);
      noteWindow(kernel, process, record);
      return;
    case 'munmap': {
      if (record.ret !== 0 || record.len === 0n) return;
      const firstPage = pageOf(record.addr);
      const lastPage = pageOf(record.addr + record.len - 1n);
      replaceRange(kernel, process.mm, { firstPage, lastPage, backing: null });
      return;
    }
    case 'fork':
      if (kernel.state.processes[record.child] === undefined) forkProcess(kernel, record.child, record.pid);
      return;
    case 'memfd_create': {
      const fd = Number(record.fields['ret'] ?? record.fields['fd'] ?? -1);
      if (fd < 0) return;
      noteTaken(process, fd);
      takeDescriptor(kernel, process, fd);
      fileMemory(kernel.memory, process, fd, (Number(record.fields['flags'] ?? 0) & MFD_HUGETLB) !== 0);
      return;
    }
    case 'ftruncate': {
      const { fd, len, ret } = record.fields;
      if (Number(ret ?? 0) !== 0) return;
      resizeFile(kernel.memory, fileMemory(kernel.memory, process, Number(fd)), Number(len));
      return;
    }
    case 'cap_set_proc':
      noteCapabilities(process, record.fields);
      return;
    case 'note':
      if (record.kind === 'usermem') noteUserMemory(kernel.memory, process, record);
      if (record.kind === 'marker') noteRules(kernel.memory, process.mm, markerText(record));
      if (record.kind === 'limits') noteLimits(kernel, process, record.fields);
      return;
    default:
      return;
  }
}

function noteMmap(kernel: Kernel, process: Process, record: MmapCall): void {
  if (record.mapped === null || record.len === 0n) return;
  const firstPage = pageOf(record.mapped);
  const lastPage = pageOf(record.mapped + record.len - 1n);
  const backing = backingOf(kernel.memory, process, record);
  replaceRange(kernel, process.mm, { firstPage, lastPage, backing });
}

function backingOf(memory: UserMemory, process: Process, record: MmapCall): Backing {
  const shared = (record.flags & MAP_SHARED) !== 0n;
  const isFile = record.fd >= 0;
  const file = isFile ? fileMemory(memory, process, record.fd) : null;
  return {
    object: shared && file !== null ? file.object : newObject(memory),
    objectPage: isFile ? pageOf(record.off) : 0,
    readable: (record.prot & PROT_READ) !== 0,
    writable: (record.prot & PROT_WRITE) !== 0,
    shared,
    huge: (record.flags & MAP_HUGETLB) !== 0n || file?.huge === true,
    device: record.kind === 'device',
  };
}

function newObject(memory: UserMemory): number {
  const object = memory.nextObject;
  memory.nextObject += 1;
  return object;
}

function markerText({ fields }: Note): string {
  return typeof fields['text'] === 'string' ? fields['text'] : '';
}

/** `usermem`: what user memory held when the note was made. */
function noteUserMemory(memory: UserMemory, process: Process, note: Note): void {
  const { va, hex } = note.fields;
  if (typeof va !== 'string' || hex === undefined) return;
  const bytes = decodeByteString('hex', hex);
  if (!(bytes instanceof Uint8Array)) return;
  const address = BigInt(va);
  storeBytes(memory, process.mm, pageOf(address), offsetOf(address), knownBytes(bytes));
}
