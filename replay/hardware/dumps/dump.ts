/** What a dump of IOMMU tables says, whatever tool wrote it. */

export interface DumpedEntry {
  /** Level of the table that it stands in; 1 is the last. */
  readonly level: number;
  /** First IOVA page that it translates. */
  readonly page: number;
  readonly word: bigint;
}

/** The table that one slot of a device translates by. */
export interface DumpedTable {
  /** `0000:00:02.0` */
  readonly bdf: string;
  readonly pasid: number;
  /** As the dump names it; empty when it does not. */
  readonly format: string;
  /** Physical address of the top table. */
  readonly root: bigint;
  /** Levels of the walk; null when the dump does not say. */
  readonly levels: number | null;
  /** Null where the dump refers to the same table further up. */
  readonly entries: readonly DumpedEntry[] | null;
}

/** The entry of a device or PASID, as raw words. */
export interface DumpedDevice {
  readonly bdf: string;
  readonly pasid: number;
  /** `context`, `pasid`, `dte` or `dc`. */
  readonly name: string;
  readonly words: readonly bigint[];
}

export interface Dump {
  readonly kind: string;
  /** False when tables that hold no leaf are left out. */
  readonly showsEmptyTables: boolean;
  /** False when tables of PASIDs other than 0 may be left out. */
  readonly showsPasids: boolean;
  readonly entries: readonly DumpedDevice[];
  readonly tables: readonly DumpedTable[];
  /** Devices that the dump mentions at all. */
  readonly devices: readonly string[];
}

/** Reads a dump that is of its kind; null for any other text. */
export type ParseDump = (text: string) => Dump | null;
