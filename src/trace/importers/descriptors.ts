import type { DescriptorKind } from '../call.ts';

/** What a path opens, where it is one of iommufd or VFIO; null for every other. */
export function kindOfPath(path: string): DescriptorKind | null {
  if (path === '/dev/iommu') return 'iommufd';
  if (path === '/dev/vfio/vfio') return 'container';
  if (/^\/dev\/vfio\/devices\/vfio\d+$/.test(path)) return 'device';
  if (/^\/dev\/vfio\/(noiommu-)?\d+$/.test(path)) return 'group';
  return null;
}

/**
 * What the kernel calls a descriptor that no path opened, as /proc and strace -y show it; null for others.
 */
export function kindOfLink(link: string): DescriptorKind | null {
  const name = /^(?:anon_inode:)?\[?([^\]<]+)\]?/.exec(link)?.[1] ?? link;
  if (name === 'vfio-device') return 'device';
  if (name === 'iommufd-pgfault') return 'fault';
  if (name === 'iommufd-viommu-event' || name === 'iommufd-veventq') return 'veventq';
  if (name === 'iommufd-access') return 'access';
  return kindOfPath(link.replace(/<.*$/, ''));
}

/** Processes that are followed at once, and descriptors of each: a damaged log could invent any number. */
const PROCESSES_MAX = 65_536;
const DESCRIPTORS_MAX = 65_536;

/** The descriptors of iommufd and VFIO that processes have. */
export interface DescriptorTable {
  /** What a descriptor is; undefined when the log does not say. */
  kindOf(pid: number, fd: number): DescriptorKind | undefined;
  opened(pid: number, fd: number, kind: DescriptorKind, closesOnExec?: boolean): void;
  /** Answers what was closed. */
  closed(pid: number, fd: number): DescriptorKind | undefined;
  /** The same file under another number too. */
  copied(pid: number, from: number, to: number): void;
  forked(parent: number, child: number): void;
  /** Answers what the new program does not have any more. */
  executed(pid: number): readonly { readonly fd: number; readonly kind: DescriptorKind }[];
  gone(pid: number): void;
}

interface Open {
  readonly kind: DescriptorKind;
  readonly closesOnExec: boolean;
}

export function createDescriptorTable(): DescriptorTable {
  const processes = new Map<number, Map<number, Open>>();
  const tableOf = (pid: number): Map<number, Open> => {
    const found = processes.get(pid);
    if (found !== undefined) return found;
    const made = new Map<number, Open>();
    if (processes.size < PROCESSES_MAX) processes.set(pid, made);
    return made;
  };
  const put = (pid: number, fd: number, open: Open): void => {
    const table = tableOf(pid);
    if (table.size < DESCRIPTORS_MAX || table.has(fd)) table.set(fd, open);
  };
  return {
    kindOf: (pid, fd) => processes.get(pid)?.get(fd)?.kind,
    opened: (pid, fd, kind, closesOnExec = true) => put(pid, fd, { kind, closesOnExec }),
    closed(pid, fd) {
      const table = processes.get(pid);
      const kind = table?.get(fd)?.kind;
      table?.delete(fd);
      return kind;
    },
    copied(pid, from, to) {
      const open = processes.get(pid)?.get(from);
      if (open !== undefined) put(pid, to, open);
      else processes.get(pid)?.delete(to);
    },
    forked(parent, child) {
      const table = processes.get(parent);
      if (table !== undefined && processes.size < PROCESSES_MAX) processes.set(child, new Map(table));
    },
    executed(pid) {
      const table = processes.get(pid);
      if (table === undefined) return [];
      const closed = [...table].filter(([, { closesOnExec }]) => closesOnExec);
      for (const [fd] of closed) table.delete(fd);
      return closed.map(([fd, { kind }]) => ({ fd, kind }));
    },
    gone: (pid) => void processes.delete(pid),
  };
}
