// Runs the table of calls with Connect and what protoc-gen-es generates from our protos.
//
// Usage: node stub.mjs TABLE ENDPOINT TOKENS, by a file with a token for each identity;
// the generated code is in gen/ beside it. Prints a line of JSON for each call: its id,
// and the answer or the error. The certificate comes from NODE_EXTRA_CA_CERTS, and the
// emulator's URL, whatever stands before it, from EMULATOR.
import fs from 'node:fs';
import {fromJson, toJson} from '@bufbuild/protobuf';
import {ConnectError, createClient} from '@connectrpc/connect';
import {createGrpcTransport} from '@connectrpc/connect-node';
import {ChatService} from './gen/google/chat/v1/chat_service_pb.js';
import {ErrorInfoSchema} from './gen/google/rpc/error_details_pb.js';
import table from './table.js';

async function main() {
  const [, , tableFile, endpoint, tokensFile] = process.argv;
  const {steps} = JSON.parse(fs.readFileSync(tableFile, 'utf8'));
  const tokens = JSON.parse(fs.readFileSync(tokensFile, 'utf8'));
  const client = createClient(ChatService, createGrpcTransport({baseUrl: endpoint}));

  const call = async (identity, name, request) => {
    const local = name[0].toLowerCase() + name.slice(1);
    const method = ChatService.method[local];
    const headers = {authorization: `Bearer ${tokens[identity]}`};
    return toJson(method.output, await client[local](fromJson(method.input, request), {headers}));
  };
  await table.run(steps, process.env.EMULATOR, call, described);
}

function described(error) {
  if (!(error instanceof ConnectError)) throw error;
  const [info] = error.findDetails(ErrorInfoSchema);
  return {
    code: table.CODES[error.code], reason: info?.reason ?? '', domain: info?.domain ?? '', metadata: info?.metadata ?? {},
  };
}

table.start(main);
