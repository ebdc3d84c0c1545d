/** Parts of a line that bpftrace printed. Each reader answers null for what is no such value. */

/** A decimal number, or hex with `0x`, of up to 64 bits; below zero where it says so. */
export function wideIn(text: string | undefined): bigint | null {
  if (text === undefined || !/^(?:0x[0-9a-f]{1,16}|-?\d{1,20})$/.test(text)) return null;
  return BigInt(text);
}

export function intIn(text: string | undefined): number | null {
  const value = wideIn(text);
  return value === null || value > 0x1f_ffff_ffff_ffffn || value < -0x1f_ffff_ffff_ffffn
    ? null
    : Number(value);
}

/** Pairs of hex digits with blanks between. */
export function bytesIn(text: string): Uint8Array | null {
  const digits = text.replaceAll(' ', '');
  if (digits.length % 2 !== 0 || !/^[0-9a-f]*$/.test(digits)) return null;
  return new Uint8Array(Buffer.from(digits, 'hex'));
}

/** What the kernel returned: a value, or a negative error number. */
export function returned(value: bigint): { readonly ret: number; readonly errno: number } {
  const isError = value < 0n && value >= -4095n;
  return isError ? { ret: -1, errno: Number(-value) } : { ret: Number(BigInt.asIntN(32, value)), errno: 0 };
}

/** `Lost 12 events`, as bpftrace says it on its own. */
export const LOST = /^Lost (\d{1,15}) events?\b/;

/** What bpftrace prints besides: its greeting, and maps when it ends. */
export const CHATTER = /^(?:Attach(?:ing|ed) \d+ probes?|\s*$|stdin:|WARNING|@)/;
