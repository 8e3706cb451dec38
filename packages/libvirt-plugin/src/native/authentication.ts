import koffi from 'koffi';
import { register } from './event-loop.js';
import { bytesAt, POINTER_LENGTH, type Pointer, strdup, writeAt } from './memory.js';

/** virConnectCredentialType */
const VIR_CRED_USERNAME = 1;
const VIR_CRED_AUTHNAME = 2;
const VIR_CRED_PASSPHRASE = 5;
const VIR_CRED_NOECHOPROMPT = 7;
/** What can be answered. Prompts that are echoed are questions ("Accept this host key?") which only a person may answer. */
const ANSWERED = [VIR_CRED_USERNAME, VIR_CRED_AUTHNAME, VIR_CRED_PASSPHRASE, VIR_CRED_NOECHOPROMPT] as const;
const USER_TYPES: readonly number[] = [VIR_CRED_USERNAME, VIR_CRED_AUTHNAME];

/** virConnectCredential: type 0, prompt 8, challenge 16, default 24, result 32, length of the result 40. */
const CREDENTIAL_LENGTH = 48;
const RESULT_OFFSET = 32;
const RESULT_LENGTH_OFFSET = 40;

/** virConnectAuth: pointer to the types 0, number of types 8, callback 16, its data 24. The types follow it here. */
const AUTH_LENGTH = 32;

export interface Credentials {
  readonly user?: string | undefined;
  readonly password?: string | undefined;
}

/** A virConnectAuth that answers with these credentials. It must live as long as the call that gets it. */
export function authentication(credentials: Credentials): Buffer {
  const auth = Buffer.alloc(AUTH_LENGTH + ANSWERED.length * 4);
  const callback = register('int', ['void *', 'unsigned int', 'void *'], (asked: Pointer, count: number) =>
    answer(asked, count, credentials),
  );
  auth.writeBigUInt64LE(koffi.address(auth) + BigInt(AUTH_LENGTH), 0);
  auth.writeUInt32LE(ANSWERED.length, POINTER_LENGTH);
  auth.writeBigUInt64LE(callback, 2 * POINTER_LENGTH);
  for (const [index, type] of ANSWERED.entries()) auth.writeInt32LE(type, AUTH_LENGTH + index * 4);
  return auth;
}

/** Fills in the results; −1 if one is not known, which ends the authentication. */
function answer(asked: Pointer, count: number, { user, password }: Credentials): number {
  const memory = bytesAt(asked, count * CREDENTIAL_LENGTH);
  const credentials = Array.from({ length: count }, (_, index) =>
    memory.subarray(index * CREDENTIAL_LENGTH, (index + 1) * CREDENTIAL_LENGTH),
  );
  const values = credentials.map((each) => (USER_TYPES.includes(each.readInt32LE()) ? user : password));
  if (values.includes(undefined)) return -1;
  for (const [index, credential] of credentials.entries()) {
    const value = values[index] ?? '';
    credential.writeBigUInt64LE(strdup(value), RESULT_OFFSET);
    credential.writeUInt32LE(Buffer.byteLength(value), RESULT_LENGTH_OFFSET);
  }
  writeAt(asked, memory);
  return 0;
}
