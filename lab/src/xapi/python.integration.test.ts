import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { requireTools } from '@vbackup/core/testing';
import { startXapiHost } from './start.js';

const run = promisify(execFile);

/** XenAPI as the Python library that comes with XenServer speaks it: xmlrpc.client and nothing else. */
const SCRIPT = `
import ssl, sys, xmlrpc.client
url, password, pem, uuid = sys.argv[1:5]
server = xmlrpc.client.ServerProxy(url, context=ssl.create_default_context(cadata=pem), allow_none=False)
def value(reply):
    assert reply["Status"] == "Success", reply
    return reply["Value"]
assert "VDI.snapshot" in server.system.listMethods()
session = value(server.session.login_with_password("root", password, "1.0", "python"))
ref = value(server.VDI.get_by_uuid(session, uuid))
record = value(server.VDI.get_record(session, ref))
assert record["virtual_size"] == "5497558138880", record["virtual_size"]
assert record["name_label"] == "big <disk> & more \\u00e9", record["name_label"]
assert isinstance(record["snapshot_time"], xmlrpc.client.DateTime)
events = value(server.event.__getattr__("from")(session, ["VDI/" + ref], "", 5.5))
assert type(events["valid_ref_counts"]["vdi"]) is int
assert isinstance(events["events"][0]["id"], str)
refused = server.event.__getattr__("from")(session, ["*"], "", 5)
assert refused["ErrorDescription"][0] == "FIELD_TYPE_ERROR", refused
task = value(server.Async.VDI.snapshot(session, ref, {}))
value(server.event.__getattr__("from")(session, ["task/" + task], "", 5.5))
task = value(server.task.get_record(session, task))
assert task["status"] == "success" and task["progress"] == 1.0, task
assert task["result"].startswith("<value>OpaqueRef:"), task["result"]
assert value(server.session.logout(session)) == ""
assert server.VDI.get_all(session)["ErrorDescription"] == ["SESSION_INVALID", session]
print("ok")
`;

describe('xmlrpc.client of Python', () => {
  before(function () {
    requireTools(this, ['python3']);
  });

  it('gets the types that XenAPI documents', async () => {
    await using host = await startXapiHost();
    const disk = host.addDisk({ size: 5 * 2 ** 40, label: 'big <disk> & more é' });
    const { stdout } = await run('python3', ['-c', SCRIPT, host.url, host.password, host.certificate, disk]);
    assert.equal(stdout.trim(), 'ok');
  });
});
