// What both clients need: who calls, whom, and how results are written down.
import { createHash } from "node:crypto";

import { refusalOf } from "@calisthenics/training-client";
import { Metadata, status } from "@grpc/grpc-js";

export const [address, athlete, stranger] = process.argv.slice(2);
export const requestId = "e2e-request";

/** Metadata of a call by one who identifies as this athlete. */
export function caller(id: string): Metadata {
  const metadata = new Metadata();
  metadata.set("x-external-user-id", id);
  metadata.set("x-request-id", requestId);
  return metadata;
}

/** SHA-256 of ids, each followed by a line feed: how an export is checked. */
export function digest(ids: string[]): string {
  return createHash("sha256").update(ids.map((id) => `${id}\n`).join("")).digest("hex");
}

/** What a call was refused with. */
export async function refused(attempt: Promise<unknown>) {
  try {
    await attempt;
  } catch (error) {
    const refusal = refusalOf(error);
    return {
      code: status[(error as { code: number }).code],
      reason: refusal?.reason,
      fields: refusal?.fieldViolations.map((violation) => violation.field),
    };
  }
  throw new Error("the call succeeded");
}
