// Runs the command given as arguments, and ends it with everything it has started once this process's own stdin is
// closed. The script that starts a guard holds the other end, and the system closes it however that script ends, be it by
// SIGKILL. A guard must lead a process group.
import { spawn } from "node:child_process";
import { constants } from "node:os";

const GRACE_MS = 5000;

const [command, ...args] = process.argv.slice(2);
const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit"] });

// The guard is a member of the group that it signals and has to see its end.
process.on("SIGTERM", () => {});
const signalGroup = (signal) => process.kill(-process.pid, signal);

child.on("error", (error) => {
  console.error(`${command}: ${error.message}`);
  process.exit(127);
});
child.on("exit", (code, signal) => {
  // Ends what the command has started and left running.
  signalGroup("SIGTERM");
  process.exit(code ?? 128 + constants.signals[signal]);
});

process.stdin.resume().on("end", () => {
  signalGroup("SIGTERM");
  setTimeout(() => signalGroup("SIGKILL"), GRACE_MS);
});
