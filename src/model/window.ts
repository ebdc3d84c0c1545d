import type { MmapCall } from '../trace/index.ts';
import { pageOf } from './address.ts';
import type { Kernel } from './kernel.ts';
import { dropContext, holdContext, mustGet } from './objects.ts';
import type { Context, Process, WindowMapping } from './state.ts';
import { acquireViommu, releaseViommu } from './viommu-users.ts';

/**
 * Windows of vIOMMUs that processes have mapped: main.c iommufd_fops_mmap, iommufd_vma_ops. Each mapping is a
 * user of the vIOMMU and a reference to the open file. Whether mmap succeeded is an input.
 */

export function noteWindow(kernel: Kernel, process: Process, record: MmapCall): void {
  if (record.mapped === null || record.fd < 0 || record.len === 0n) return;
  const file = kernel.state.files[process.descriptors[record.fd] ?? 0];
  const context = file?.kind === 'iommufd' ? kernel.state.contexts[file.context] : undefined;
  if (context === undefined) return;
  const offset = pageOf(record.off);
  const viommu = Object.values(context.objects).find((o) => o.type === 'viommu' && o.window === offset);
  if (viommu === undefined || offset === 0) return;
  const firstPage = pageOf(record.mapped);
  const lastPage = pageOf(record.mapped + record.len - 1n);
  addWindow(kernel, context, { mm: process.mm, firstPage, lastPage, context: context.id, viommu: viommu.id });
}

function addWindow(kernel: Kernel, context: Context, window: WindowMapping): void {
  kernel.state.windows.push(window);
  acquireViommu(mustGet(context, window.viommu, 'viommu'));
  holdContext(context);
}

/** A forked process has the windows of its parent. */
export function copyWindows(kernel: Kernel, parent: number, child: number): void {
  for (const window of kernel.state.windows.filter(({ mm }) => mm === parent)) {
    addWindow(kernel, kernel.state.contexts[window.context]!, { ...window, mm: child });
  }
}

/** Unmaps what lies in the pages; answers the contexts that must be released with their last reference. */
export function dropWindows(kernel: Kernel, mm: number, firstPage: number, lastPage: number): Context[] {
  const { windows } = kernel.state;
  if (windows.length === 0) return [];
  const touched = windows.filter(
    (window) => window.mm === mm && window.firstPage <= lastPage && window.lastPage >= firstPage,
  );
  if (touched.length === 0) return [];
  kernel.state.windows = windows.filter((window) => !touched.includes(window));
  const released: Context[] = [];
  for (const window of touched) {
    const context = kernel.state.contexts[window.context]!;
    // What is left on either side becomes a mapping of its own before the old one goes.
    if (window.firstPage < firstPage) addWindow(kernel, context, { ...window, lastPage: firstPage - 1 });
    if (window.lastPage > lastPage) addWindow(kernel, context, { ...window, firstPage: lastPage + 1 });
    releaseViommu(mustGet(context, window.viommu, 'viommu'));
    if (dropContext(context, false, 0)) released.push(context);
  }
  return released;
}
