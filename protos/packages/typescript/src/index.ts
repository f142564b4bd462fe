/** Client of the calisthenics Training Service. */
export { call } from "./call";
export * from "./contract";
export {
  channelOptions,
  loaderOptions,
  protoFiles,
  protoFolder,
  protoPackage,
  serviceConfig,
} from "./defaults";
export { Duration } from "./google/protobuf/duration";
export { FieldMask } from "./google/protobuf/field_mask";
export { Timestamp } from "./google/protobuf/timestamp";
export { Status } from "./google/rpc/status";
export { DateMessage } from "./google/type/date";
export { type FieldViolation, type Refusal, refusalOf } from "./refusal";
export { fromDate, toDate } from "./time";
