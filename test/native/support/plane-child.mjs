// Runs one native plane in the network namespace this process was started in, driven over IPC by rig.ts: a message
// names a method with its arguments, the answer carries what it returned or threw. Events are forwarded as they come.
import { openNativePlane } from '../../../dist/plane/native-plane.js';
import { icmpEcho } from '../../../dist/plane/host.js';

let plane;

const methods = {
  open(options) {
    plane = openNativePlane({ ...options, onEvent: (event) => process.send({ event }) });
    return { deviceName: plane.deviceName, listening: plane.listening, features: plane.features };
  },
  listening: () => plane.listening,
  icmpEcho,
};

process.on('message', async ({ id, method, args }) => {
  try {
    const value = await (methods[method] ?? ((...rest) => plane[method](...rest)))(...args);
    process.send({ id, value });
  } catch (error) {
    process.send({ id, error: { message: error.message, code: error.code, name: error.name } });
  }
});
process.on('disconnect', () => process.exit(0));
