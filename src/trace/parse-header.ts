import { z } from 'zod';
import type { JsonValue } from './call.ts';
import { RecordError } from './errors.ts';
import { hexOf, type JsonRecord, requireExact } from './fields.ts';
import type { IommuInstance, Topology, TopologyDevice, TraceHeader } from './header.ts';

/** Bytes per CPU page where the capture does not say. */
const PAGE_SIZE_BYTES_DEFAULT = 4096;

const CAPTURE_FORMAT = 'ioasis-capture';
const CAPTURE_VERSION = 1;

const u64 = z
  .union([z.string().regex(/^0x[0-9a-fA-F]{1,16}$/), z.int().nonnegative()], {
    error: 'must be a hex string of at most 64 bits',
  })
  .transform((value) => BigInt(value));

const instanceSchema = z.looseObject({
  name: z.string(),
  pgsize_bitmap: u64.nullish(),
  aperture: z.tuple([u64, u64]).nullish(),
});

const deviceSchema = z.looseObject({
  path: z.string().nullish(),
  bdf: z.string().nullish(),
  group: z.int().nullish(),
  instance: z.string().nullish(),
});

const topologySchema = z.looseObject({
  iommu: z.string().nullish(),
  instances: z.array(instanceSchema).nullish(),
  devices: z.array(deviceSchema).nullish(),
});

const pageSize = z
  .int()
  .min(512)
  .max(2 ** 30)
  .refine((bytes) => (bytes & (bytes - 1)) === 0, 'must be a power of two');

const headerSchema = z.looseObject({
  format: z.literal(CAPTURE_FORMAT).optional(),
  version: z.literal(CAPTURE_VERSION).optional(),
  kernel: z.string().nullish(),
  arch: z.string().nullish(),
  page_size: pageSize.nullish(),
  producer: z.string().nullish(),
  quirks: z.array(z.string()).nullish(),
  topology: topologySchema.nullish(),
});

const NO_TOPOLOGY: Topology = { iommu: null, instances: [], devices: [] };

/** What is known of a capture without a header line. */
export const EMPTY_HEADER: TraceHeader = {
  kernel: null,
  arch: null,
  pageSizeBytes: PAGE_SIZE_BYTES_DEFAULT,
  producer: null,
  quirks: [],
  topology: NO_TOPOLOGY,
  raw: null,
};

function parseWith<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const path = issue.path.map(String).join('.');
  throw new RecordError(`${what}${path === '' ? '' : ` "${path}"`}: ${issue.message}`);
}

/**
 * Reads the header record of a capture. Every key is optional.
 * @throws RecordError for another format or version, or a key of the wrong type.
 */
export function parseHeader(record: JsonRecord): TraceHeader {
  requireExact(record);
  const header = parseWith(headerSchema, record, 'header');
  return {
    kernel: header.kernel ?? null,
    arch: header.arch ?? null,
    pageSizeBytes: header.page_size ?? PAGE_SIZE_BYTES_DEFAULT,
    producer: header.producer ?? null,
    quirks: header.quirks ?? [],
    topology: record['topology'] == null ? NO_TOPOLOGY : parseTopology(record['topology']),
    raw: record,
  };
}

/**
 * Reads a topology object, as in the header or in a file of its own.
 * @throws RecordError naming the key that is wrong.
 */
export function parseTopology(value: unknown): Topology {
  const topology = parseWith(topologySchema, value, 'topology');
  const raw = value as { instances?: JsonRecord[] | null; devices?: JsonRecord[] | null };
  const instances = (topology.instances ?? []).map(
    (instance, index): IommuInstance => ({
      name: instance.name,
      pgsizeBitmap: instance.pgsize_bitmap ?? null,
      aperture: instance.aperture ?? null,
      raw: raw.instances![index]!,
    }),
  );
  const devices = (topology.devices ?? []).map(
    (device, index): TopologyDevice => ({
      path: device.path ?? null,
      bdf: device.bdf ?? null,
      group: device.group ?? null,
      instance: device.instance ?? null,
      raw: raw.devices![index]!,
    }),
  );
  return { iommu: topology.iommu ?? null, instances, devices };
}

/**
 * The header as a capture line, or null when there is nothing to say. Keys of `raw` are kept; a typed field
 * that was changed since (another kernel, a topology from a file) wins over them.
 */
export function headerToRecord(header: TraceHeader): Record<string, JsonValue> | null {
  const start: JsonRecord = header.raw ?? { op: 'header', format: CAPTURE_FORMAT, version: CAPTURE_VERSION };
  const said = parseHeader(start);
  const changed: Record<string, JsonValue> = {};
  if (header.kernel !== said.kernel) changed['kernel'] = header.kernel;
  if (header.arch !== said.arch) changed['arch'] = header.arch;
  if (header.pageSizeBytes !== said.pageSizeBytes) changed['page_size'] = header.pageSizeBytes;
  if (header.producer !== said.producer) changed['producer'] = header.producer;
  if (header.quirks.join('\n') !== said.quirks.join('\n')) changed['quirks'] = [...header.quirks];
  const topology = topologyJson(header.topology);
  if (JSON.stringify(topology) !== JSON.stringify(topologyJson(said.topology)))
    changed['topology'] = topology;
  if (header.raw === null && Object.keys(changed).length === 0) return null;
  return { ...start, ...changed };
}

function topologyJson(topology: Topology): JsonValue {
  return {
    iommu: topology.iommu,
    instances: topology.instances.map(instanceJson),
    devices: topology.devices.map(({ path, bdf, group, instance, raw }) => ({
      ...raw,
      path,
      bdf,
      group,
      instance,
    })),
  };
}

function instanceJson({ name, pgsizeBitmap, aperture, raw }: IommuInstance): JsonValue {
  return {
    ...raw,
    name,
    pgsize_bitmap: pgsizeBitmap === null ? null : hexOf(pgsizeBitmap),
    aperture: aperture === null ? null : [hexOf(aperture[0]), hexOf(aperture[1])],
  };
}
