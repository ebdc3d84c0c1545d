/** Bytes of a struct, written field by field: importers make requests from the numbers that a log tells. */
export interface StructWriter {
  readonly bytes: Uint8Array;
  u16(at: number, value: number): StructWriter;
  u32(at: number, value: number): StructWriter;
  /** Bits above 64 are cut off. */
  u64(at: number, value: bigint): StructWriter;
}

/** A struct of zeros. */
export function structOf(sizeBytes: number): StructWriter {
  const bytes = new Uint8Array(sizeBytes);
  const view = new DataView(bytes.buffer);
  const writer: StructWriter = {
    bytes,
    u16(at, value) {
      view.setUint16(at, value, true);
      return writer;
    },
    u32(at, value) {
      view.setUint32(at, value, true);
      return writer;
    },
    u64(at, value) {
      view.setBigUint64(at, BigInt.asUintN(64, value), true);
      return writer;
    },
  };
  return writer;
}

/** The same bytes with one more number of 32 bits in them: a reply that differs in one field. */
export function withU32(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  new DataView(copy.buffer).setUint32(at, value, true);
  return copy;
}
