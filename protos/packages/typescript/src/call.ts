import { type CallOptions, type Client, Metadata, type ServiceError } from "@grpc/grpc-js";

type Unary<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => unknown;

// Of a method's overloads, the compiler compares the last: the one with all parameters.
type RequestOf<Method> = Method extends Unary<infer Request, infer _> ? Request : never;
type ResponseOf<Method> = Method extends Unary<infer _, infer Response> ? Response : never;

/** Calls a unary RPC and promises its response, or the ServiceError that `refusalOf` reads. */
export function call<Service extends Client, Name extends keyof Service>(
  client: Service,
  name: Name,
  request: RequestOf<Service[Name]>,
  metadata: Metadata = new Metadata(),
  options: Partial<CallOptions> = {},
): Promise<ResponseOf<Service[Name]>> {
  type Method = Unary<RequestOf<Service[Name]>, ResponseOf<Service[Name]>>;
  return new Promise((resolve, reject) => {
    (client[name] as Method).call(client, request, metadata, options, (error, response) =>
      error ? reject(error) : resolve(response),
    );
  });
}
