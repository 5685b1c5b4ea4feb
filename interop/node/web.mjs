// Calls a service over gRPC-Web with clients that are not ours: Connect, and Google's grpc-web
// in both of its forms.
//
// Usage: node web.mjs URL, with the code that protoc-gen-es makes of streams.proto in gen/
// beside it. The server counts as streams.proto says, and its error has a reason in its
// details. Prints a line of JSON for each call: the client, the call, and what came of it.
import {create, fromBinary, toBinary} from '@bufbuild/protobuf';
import {ConnectError, createClient} from '@connectrpc/connect';
import {createGrpcWebTransport} from '@connectrpc/connect-web';
import grpcWeb from 'grpc-web';
import XMLHttpRequest from 'xhr2';
import {ErrorInfoSchema} from './gen/google/rpc/error_details_pb.js';
import {StatusSchema} from './gen/google/rpc/status_pb.js';
import {CountRequestSchema, NumberSchema, ReleaseRequestSchema, ReleaseResponseSchema, Streams} from './gen/streams_pb.js';

// Google's client is made for browsers.
globalThis.XMLHttpRequest = XMLHttpRequest;

const [, , url] = process.argv;

const CALLS = [
  ['unary', 'Release', {}],
  ['stream', 'Count', {to: 3}],
  ['error', 'Count', {to: 3, failsAt: 3}],
];

function connect() {
  const client = createClient(Streams, createGrpcWebTransport({baseUrl: url}));
  return async (method, request) => {
    const values = [];
    try {
      if (method === 'Release') {
        await client.release(request);
      } else {
        for await (const number of client.count(request)) values.push(number.value);
      }
      return {values, code: 0};
    } catch (error) {
      const failed = ConnectError.from(error);
      const reasons = failed.findDetails(ErrorInfoSchema).map(info => info.reason);
      return {values, code: failed.code, message: failed.rawMessage, reasons};
    }
  };
}

function google(format) {
  const base = new grpcWeb.GrpcWebClientBase({format});
  const describe = (name, type, input, output) => new grpcWeb.MethodDescriptor(
    `/streams.Streams/${name}`, type, null, null, request => toBinary(input, request), bytes => fromBinary(output, bytes));
  const release = describe('Release', grpcWeb.MethodType.UNARY, ReleaseRequestSchema, ReleaseResponseSchema);
  const count = describe('Count', grpcWeb.MethodType.SERVER_STREAMING, CountRequestSchema, NumberSchema);
  const failed = error => {
    const details = error.metadata?.['grpc-status-details-bin'];
    const status = details && fromBinary(StatusSchema, Buffer.from(details, 'base64'));
    const reasons = (status?.details ?? []).map(detail => fromBinary(ErrorInfoSchema, detail.value).reason);
    return {code: error.code, message: error.message, reasons};
  };
  return (method, request) => new Promise(resolve => {
    if (method === 'Release') {
      const message = create(ReleaseRequestSchema, request);
      base.rpcCall(`${url}/streams.Streams/Release`, message, {}, release, error =>
        resolve({values: [], ...(error ? failed(error) : {code: 0})}));
      return;
    }
    const values = [];
    const stream = base.serverStreaming(`${url}/streams.Streams/Count`, create(CountRequestSchema, request), {}, count);
    stream.on('data', number => values.push(number.value));
    stream.on('error', error => resolve({values, ...failed(error)}));
    stream.on('end', () => resolve({values, code: 0}));
  });
}

const clients = {connect: connect(), 'grpc-web text': google('text'), 'grpc-web binary': google('binary')};
for (const [client, call] of Object.entries(clients)) {
  for (const [name, method, request] of CALLS) {
    console.log(JSON.stringify({client, call: name, ...await call(method, request)}));
  }
}
