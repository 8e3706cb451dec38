/** What the tests use of npm xen-api 4.7.6, which brings no types. */
declare module 'xen-api' {
  export interface XapiOptions {
    readonly url: string;
    readonly auth: { readonly user: string; readonly password: string };
    readonly allowUnauthorized?: boolean;
    readonly transport?: 'auto' | 'json-rpc' | 'xml-rpc';
    readonly debounce?: number;
    readonly watchEvents?: boolean | readonly string[];
  }

  export interface XapiRecord {
    readonly $ref: string;
    readonly $type: string;
    readonly uuid: string;
    readonly [field: string]: unknown;
  }

  export class Xapi {
    constructor(options: XapiOptions);
    readonly objectsFetched: Promise<void>;
    readonly sessionId: string;
    readonly pool: XapiRecord;
    connect(): Promise<void>;
    disconnect(): Promise<void>;
    call(method: string, ...args: readonly unknown[]): Promise<unknown>;
    callAsync(method: string, ...args: readonly unknown[]): Promise<unknown>;
    getObject(id: string): XapiRecord;
    getRecordByUuid(type: string, uuid: string): Promise<XapiRecord>;
    getField(type: string, ref: string, field: string): Promise<unknown>;
    setFieldEntry(type: string, ref: string, field: string, entry: string, value: string | null): Promise<void>;
    barrier(ref: string): Promise<XapiRecord>;
    putResource(
      body: Buffer,
      path: string,
      options: { readonly query: object; readonly task?: boolean },
    ): Promise<unknown>;
    getResource(
      path: string,
      options: { readonly query: object; readonly task?: boolean },
    ): Promise<{ readonly statusCode: number; readonly body: { arrayBuffer(): Promise<ArrayBuffer> } }>;
  }
}
