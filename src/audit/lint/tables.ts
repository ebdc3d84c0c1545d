import { type Ioas, type IovaSpace, type Kernel, spaceOf } from '../../model/index.ts';

/** From page tables to the addresses that they translate. */

/** IOAS that a page table translates; a nested one stands on its parent. Undefined when it is gone. */
export function ioasOfTable(kernel: Kernel, context: number, hwpt: number): Ioas | undefined {
  const objects = kernel.state.contexts[context]?.objects;
  const table = objects?.[hwpt];
  const paging = table?.type === 'hwpt-nested' ? objects?.[table.parent] : table;
  const ioas = paging?.type === 'hwpt-paging' ? objects?.[paging.ioas] : undefined;
  return ioas?.type === 'ioas' ? ioas : undefined;
}

/** The areas behind a page table. */
export function spaceOfTable(kernel: Kernel, context: number, hwpt: number): IovaSpace | undefined {
  const ioas = ioasOfTable(kernel, context, hwpt);
  return ioas === undefined ? undefined : spaceOf(kernel, ioas);
}
