import { Timestamp } from "./google/protobuf/timestamp";

/** Returns a timestamp as a Date, which has milliseconds where a timestamp has nanoseconds. */
export function toDate({ seconds, nanos }: Timestamp): Date {
  return new Date(seconds * 1000 + Math.floor(nanos / 1e6));
}

/** Returns a Date as a timestamp. */
export function fromDate(date: Date): Timestamp {
  const seconds = Math.floor(date.getTime() / 1000);
  return { seconds, nanos: (date.getTime() - seconds * 1000) * 1e6 };
}
