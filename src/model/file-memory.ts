import type { Kernel } from './kernel.ts';
import type { Process } from './state.ts';
import { createSpace, type FileMemory, setRange, type UserMemory } from './user-memory.ts';

/** Memory files: what memfd_create, ftruncate and mmap tell of them. */

/** Key of the file behind a descriptor, also of one that was open before the recording began. */
function keyOf(process: Process, fd: number): string {
  const id = process.descriptors[fd];
  return id === undefined || id === 0 ? `${process.mm}:${fd}` : `file:${id}`;
}

/** The file behind a descriptor as far as any record speaks of it. */
export function findFile(kernel: Kernel, process: Process, fd: number): FileMemory | undefined {
  return kernel.memory.files.get(keyOf(process, fd));
}

/** The same; made when this is the first record that speaks of it. */
export function fileMemory(memory: UserMemory, process: Process, fd: number, huge = false): FileMemory {
  const key = keyOf(process, fd);
  const known = memory.files.get(key);
  if (known !== undefined) return known;
  const object = memory.nextObject;
  memory.nextObject += 1;
  const file = { object, mm: createSpace(memory, true), huge };
  memory.files.set(key, file);
  return file;
}

/** ftruncate: whole pages of the file can be pinned, what is behind its last whole page can not. */
export function resizeFile(memory: UserMemory, file: FileMemory, bytes: number): void {
  memory.spaces[file.mm]!.ranges = [];
  const lastPage = Math.floor(bytes / 4096) - 1;
  if (lastPage < 0) return;
  const { object, huge } = file;
  const backing = {
    object,
    objectPage: 0,
    readable: true,
    writable: true,
    shared: true,
    huge,
    device: false,
  };
  setRange(memory, file.mm, { firstPage: 0, lastPage, backing });
}
