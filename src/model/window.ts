import type { MmapCall } from '../trace/index.ts';
import { pageOf } from './address.ts';
import type { Kernel } from './kernel.ts';
import { dropContext, holdContext, mustGet } from './objects.ts';
import type { Context, OpenFile, Process, WindowMapping } from './state.ts';
import { acquireViommu, releaseViommu } from './viommu-users.ts';

/**
 * Mappings that hold an open file: windows of vIOMMUs (main.c iommufd_fops_mmap, iommufd_vma_ops), each a
 * user of its vIOMMU besides, and memory of devices. Whether mmap succeeded is an input.
 */

export function noteWindow(kernel: Kernel, process: Process, record: MmapCall): void {
  if (record.mapped === null || record.fd < 0 || record.len === 0n) return;
  const file = kernel.state.files[process.descriptors[record.fd] ?? 0];
  if (file === undefined) return;
  const place = {
    mm: process.mm,
    firstPage: pageOf(record.mapped),
    lastPage: pageOf(record.mapped + record.len - 1n),
  };
  if (file.kind === 'device') addWindow(kernel, { ...place, context: 0, viommu: 0, file: file.id });
  const context = file.kind === 'iommufd' ? kernel.state.contexts[file.context] : undefined;
  if (context === undefined) return;
  const offset = pageOf(record.off);
  const viommu = Object.values(context.objects).find((o) => o.type === 'viommu' && o.window === offset);
  if (viommu === undefined || offset === 0) return;
  addWindow(kernel, { ...place, context: context.id, viommu: viommu.id, file: 0 });
}

function addWindow(kernel: Kernel, window: WindowMapping): void {
  kernel.state.windows.push(window);
  const context = kernel.state.contexts[window.context];
  if (context === undefined) {
    kernel.state.files[window.file]!.descriptors += 1;
    return;
  }
  acquireViommu(mustGet(context, window.viommu, 'viommu'));
  holdContext(context);
}

/** A forked process has the windows of its parent. */
export function copyWindows(kernel: Kernel, parent: number, child: number): void {
  for (const window of kernel.state.windows.filter(({ mm }) => mm === parent)) {
    addWindow(kernel, { ...window, mm: child });
  }
}

/** What goes with mappings: contexts that must be released, and open files, once for each mapping. */
export interface DroppedWindows {
  readonly contexts: readonly Context[];
  readonly files: readonly OpenFile[];
}

const NOTHING: DroppedWindows = { contexts: [], files: [] };

/** Unmaps what lies in the pages. */
export function dropWindows(kernel: Kernel, mm: number, firstPage: number, lastPage: number): DroppedWindows {
  const { windows } = kernel.state;
  if (windows.length === 0) return NOTHING;
  const touched = windows.filter(
    (window) => window.mm === mm && window.firstPage <= lastPage && window.lastPage >= firstPage,
  );
  if (touched.length === 0) return NOTHING;
  kernel.state.windows = windows.filter((window) => !touched.includes(window));
  const contexts: Context[] = [];
  const files: OpenFile[] = [];
  for (const window of touched) {
    // What is left on either side becomes a mapping of its own before the old one goes.
    if (window.firstPage < firstPage) addWindow(kernel, { ...window, lastPage: firstPage - 1 });
    if (window.lastPage > lastPage) addWindow(kernel, { ...window, firstPage: lastPage + 1 });
    const context = kernel.state.contexts[window.context];
    if (context === undefined) {
      files.push(kernel.state.files[window.file]!);
      continue;
    }
    releaseViommu(mustGet(context, window.viommu, 'viommu'));
    if (dropContext(context, false, 0)) contexts.push(context);
  }
  return { contexts, files };
}
