/**
 * The public entry of src/uapi: the Linux iommufd and VFIO user API as tables, and the codec that uses
 * them.
 */

export * from './codec.ts';
export * from './dispatch.ts';
export * from './errno.ts';
export * from './flags.ts';
export * from './ioasid-2021-02.ts';
export type { FdKind, IoctlEntry } from './ioctl.ts';
export * from './iommu-2021.ts';
export * from './iommufd.ts';
export type { Field, FieldKind, OffsetsOf, Refers, StructLayout, UnionCase, UnionLayout } from './layout.ts';
export { offsetsOf, unionOffsetsOf } from './layout.ts';
export * from './ranges.ts';
export * from './records.ts';
export * from './render.ts';
export * from './rfc-2021-09.ts';
export * from './selftest.ts';
export * from './vfio.ts';
export * from './vfio-device.ts';
