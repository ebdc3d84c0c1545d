/** Names of the nodes of the object graph: unique in one kernel at one time. */

export const processKey = (pid: number): string => `process/${pid}`;
export const contextKey = (context: number): string => `context/${context}`;
export const objectKey = (context: number, id: number): string => `context/${context}/${id}`;
export const groupKey = (group: number): string => `group/${group}`;
/** A device of the machine, by its place there. */
export const physicalKey = (index: number): string => `device/${index}`;
export const iommuKey = (name: string): string => `iommu/${name}`;
export const containerKey = (container: number): string => `container/${container}`;
/** A dma-buf, by its open file. */
export const dmabufKey = (file: number): string => `dmabuf/${file}`;
/** Open files of the generations of 2020 and 2021. */
export const fileKey = (file: number): string => `file/${file}`;
export const spaceKey = (file: number, ioas: number): string => `file/${file}/${ioas}`;
export const setKey = (set: number): string => `set/${set}`;
export const pasidKey = (scope: string, id: number): string => `pasid/${scope}/${id}`;
/** A device of the topology, by name: the generations of 2020 and 2021 have kinds of their own. */
export const namedDeviceKey = (name: string): string => `device/${name}`;
