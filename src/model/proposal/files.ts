import type { ProposalFile, ProposalState } from './state.ts';

/** Descriptors of the generations: which open file a number means. A fork inherits all of them. */

export function openFile(
  state: ProposalState,
  pid: number,
  fd: number,
  kind: ProposalFile['kind'],
  device = '',
  isLegacy = false,
): ProposalFile {
  const id = state.nextFile;
  state.nextFile += 1;
  state.files[id] = {
    id,
    kind,
    refs: 1,
    owner: pid,
    device,
    isLegacy,
    bindings: [],
    spaces: {},
    set: 0,
    registered: [],
    faults: [],
    translations: {},
    groups: [],
    nests: false,
    translates: false,
  };
  state.descriptors[pid] ??= {};
  state.descriptors[pid][fd] = id;
  return state.files[id];
}

export function fileAt(state: ProposalState, pid: number, fd: number): ProposalFile | null {
  return state.files[state.descriptors[pid]?.[fd] ?? 0] ?? null;
}

/** A child begins with the descriptors of its parent. */
export function forkFiles(state: ProposalState, parent: number, child: number): void {
  const copied = { ...state.descriptors[parent] };
  state.descriptors[child] = copied;
  for (const id of Object.values(copied)) state.files[id]!.refs += 1;
}

/** Takes a descriptor away; answers its file when that was the last one of it. */
export function dropDescriptor(state: ProposalState, pid: number, fd: number): ProposalFile | null {
  const file = fileAt(state, pid, fd);
  if (file === null) return null;
  delete state.descriptors[pid]![fd];
  file.refs -= 1;
  return file.refs === 0 ? file : null;
}

/** The descriptor that an argument names, if it is one of the IOMMU. */
export function iommuFileAt(state: ProposalState, pid: number, fd: number | null): ProposalFile | null {
  const file = fd === null ? null : fileAt(state, pid, fd);
  return file?.kind === 'iommu' ? file : null;
}
