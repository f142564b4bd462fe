import { Metadata } from "@grpc/grpc-js";

import { BadRequest, ErrorInfo, RetryInfo } from "./google/rpc/error_details";
import { Status } from "./google/rpc/status";

/** A field that was not accepted. */
export interface FieldViolation {
  /** Its path in proto naming, such as `session.exercises[0].exercise_id`. */
  field: string;
  /** What is wrong with it. */
  description: string;
}

/** Why a call was refused. */
export interface Refusal {
  /** The name of an ErrorReason. */
  reason: string;
  /** Whose reason it is: "training.calisthenics". */
  domain: string;
  /** What else is known. */
  metadata: Record<string, string>;
  /** The fields that were not accepted, if it is about fields. */
  fieldViolations: FieldViolation[];
  /** How long to wait before the next attempt, if one can help. */
  retryAfterSeconds?: number;
}

/** Reads the refusal from the error of a call; undefined when it did not come from the service. */
export function refusalOf(error: unknown): Refusal | undefined {
  const metadata = (error as { metadata?: unknown } | null | undefined)?.metadata;
  // By its methods: a NestJS application may have a second copy of grpc-js.
  const [packed] = (metadata as Metadata | undefined)?.get?.("grpc-status-details-bin") ?? [];
  if (!(packed instanceof Uint8Array)) {
    return undefined;
  }
  const refusal: Refusal = { reason: "", domain: "", metadata: {}, fieldViolations: [] };
  for (const { typeUrl, value } of Status.decode(packed).details) {
    if (typeUrl.endsWith("/google.rpc.ErrorInfo")) {
      Object.assign(refusal, ErrorInfo.decode(value));
    } else if (typeUrl.endsWith("/google.rpc.BadRequest")) {
      refusal.fieldViolations = BadRequest.decode(value).fieldViolations.map(
        ({ field, description }) => ({ field, description }),
      );
    } else if (typeUrl.endsWith("/google.rpc.RetryInfo")) {
      const { seconds = 0, nanos = 0 } = RetryInfo.decode(value).retryDelay ?? {};
      refusal.retryAfterSeconds = seconds + nanos / 1e9;
    }
  }
  return refusal;
}
