import { readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(__dirname, "..");

/** Deadlines and retries of every RPC: a gRPC service config, as JSON. */
export const serviceConfig = readFileSync(join(root, "service_config.json"), "utf8");

/** Options for a client or channel that make it follow the service config. */
export const channelOptions = { "grpc.service_config": serviceConfig };

/** The folder of the contracts and all they import, as .proto files. */
export const protoFolder = join(root, "proto");

/** The package of the contracts. */
export const protoPackage = "calisthenics.training.v1";

/** The contracts that declare services, by their paths in `protoFolder`. */
export const protoFiles = ["exercise", "session", "workout"].map(
  (noun) => `calisthenics/training/v1/${noun}.proto`,
);

/** Options for proto-loader, alone or in NestJS, that load `protoFiles`. */
export const loaderOptions = {
  keepCase: false,
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
  includeDirs: [protoFolder],
};
