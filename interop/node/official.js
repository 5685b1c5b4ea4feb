// Runs the table of calls with Google's own Node client, @google-apps/chat.
//
// Usage: node official.js TABLE ENDPOINT KEY grpc|http. Prints a line of JSON for each
// call: its id, and the answer or the error. The certificate comes from
// NODE_EXTRA_CA_CERTS and GRPC_DEFAULT_SSL_ROOTS_FILE_PATH.
'use strict';

const fs = require('node:fs');
const {protos, v1} = require('@google-apps/chat');
const {GoogleAuth, JWT} = require('google-auth-library');
const {CODES, run, start} = require('./table.js');

const SCOPE = 'https://www.googleapis.com/auth/';
async function main() {
  const [, , tableFile, endpoint, keyFile, wire] = process.argv;
  const table = JSON.parse(fs.readFileSync(tableFile, 'utf8'));
  const key = JSON.parse(fs.readFileSync(keyFile, 'utf8'));
  const {protocol, hostname, port} = new URL(endpoint);

  const clients = {};
  for (const [name, {scopes, subject}] of Object.entries(table.identities)) {
    const authClient = new JWT({email: key.client_email, key: key.private_key, scopes: scopes.map(s => SCOPE + s), subject});
    // The client would have it sign its own tokens, which are always for the service
    // account: Google takes no self-signed token for a subject, and the library leaves
    // the subject out. An app's own tokens stay as the client has them.
    if (subject) authClient.useJWTAccessWithScope = false;
    // This library asks Google's token endpoint whatever the key says; sent on to the
    // one that the key names.
    const transporter = authClient.transporter;
    transporter.interceptors.request.add({
      resolved: async config => {
        if (config.url.hostname === 'oauth2.googleapis.com') config.url = new URL(key.token_uri);
        return config;
      },
    });
    const auth = new GoogleAuth({authClient, projectId: key.project_id});
    clients[name] = new v1.ChatServiceClient({
      auth, servicePath: hostname, port: Number(port), fallback: wire === 'http', projectId: key.project_id,
      protocol: protocol.slice(0, -1),
    });
  }

  const types = protos.google.chat.v1;
  const call = async (identity, method, request) => {
    const options = {autoPaginate: false, retry: {retryCodes: []}};
    const answers = await clients[identity][method[0].toLowerCase() + method.slice(1)](fromJson(request), options);
    const type = responseType(types, method);
    // Of a page it gives the items first, and the whole response third.
    const answer = type.fromObject(answers[2] ?? answers[0]);
    return toJson(type.toObject(answer, {enums: String, longs: Number}), type.toObject(answer, {longs: Number}));
  };
  // Whoever gives the tokens is the emulator, whatever stands before it.
  await run(table.steps, new URL(key.token_uri).origin, call, described);
}

/** The type of a method's response, by the names that methods and messages have. */
function responseType(types, method) {
  const resource = types[method.replace(/^(Create|Get|Update|Delete|SetUp)/, '')];
  if (method === 'FindDirectMessage') return types.Space;
  if (method.startsWith('Delete') && method !== 'DeleteMembership') return protos.google.protobuf.Empty;
  return types[method + 'Response'] ?? resource;
}

/** What the client knows of an error. */
function described(error) {
  const {code, reason, domain, errorInfoMetadata: metadata} = error;
  if (error.constructor.name === 'GaxiosError') {
    // Over REST it hands on the HTTP error, whose message is the answer as it came.
    const {status, details = []} = JSON.parse(error.message).error;
    const info = details.find(detail => detail['@type'].endsWith('/google.rpc.ErrorInfo')) ?? {};
    return {code: status, reason: info.reason ?? '', domain: info.domain ?? '', metadata: info.metadata ?? {}};
  }
  if (!(code in CODES)) throw error;
  return {code: CODES[code], reason: reason ?? '', domain: domain ?? '', metadata: metadata ?? {}};
}

/** ProtoJSON as the plain objects that the client takes: it has times, masks and wrappers as messages. */
function fromJson(value, name) {
  if (name?.endsWith('Time')) {
    const millis = Date.parse(value);
    const fraction = /\.(\d+)Z$/.exec(value)?.[1] ?? '';
    return {seconds: Math.floor(millis / 1000), nanos: Number(fraction.padEnd(9, '0'))};
  }
  if (name === 'updateMask') {
    return {paths: value.split(',').map(path => path.replace(/[A-Z]/g, letter => '_' + letter.toLowerCase()))};
  }
  // The one field of the table that is a wrapper.
  if (name === 'alpha') return {value};
  if (Array.isArray(value)) return value.map(one => fromJson(one));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, fromJson(one, key)]));
}

/** The other way round, of a message with the names of its enums and the same with their numbers. */
function toJson(value, numbered, name) {
  if (name === 'alpha') return value.value;
  if (Array.isArray(value)) return value.map((one, at) => toJson(one, numbered[at]));
  if (value === null || typeof value !== 'object') return value;
  if ('seconds' in value && Object.keys(value).every(key => key === 'seconds' || key === 'nanos')) {
    const fraction = String(value.nanos ?? 0).padStart(9, '0').replace(/(000){0,3}$/, '');
    return new Date(Number(value.seconds) * 1000).toISOString().replace('.000Z', (fraction && '.' + fraction) + 'Z');
  }
  // The client cannot tell a default from what is not there.
  const isDefault = one => [undefined, null, '', false, 0].includes(one) || one.length === 0;
  const set = Object.entries(value).filter(([key]) => !isDefault(numbered[key]));
  return Object.fromEntries(set.map(([key, one]) => [key, toJson(one, numbered[key], key)]));
}

start(main);
