// One weir-broker for one test: own folder, free port, stopped by its process id.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const program = process.env.WEIR_BROKER;

export class Broker {
  static async start(config = "") {
    const b = new Broker();
    b.folder = await mkdtemp(join(tmpdir(), "weir-test-"));
    b.more = config;
    b.port = -1;
    await b.run();
    return b;
  }

  async run() {
    const file = join(this.folder, "broker.conf");
    await writeFile(file, `host: 127.0.0.1
port: ${this.port}
server_name: test
jetstream { store_dir: "${join(this.folder, "store")}", max_mem: 256MB, max_file: 2GB }
${this.more}
`);
    const log = await open(join(this.folder, "broker.log"), "a");
    this.process = spawn(program, ["-c", file, "--ports_file_dir", this.folder],
      { stdio: ["ignore", log.fd, log.fd] });
    await log.close();
    const ports = join(this.folder, `${basename(program)}_${this.process.pid}.ports`);
    for (const until = Date.now() + 30_000; Date.now() < until; await sleep(20)) {
      if (this.process.exitCode !== null) break;
      try {
        this.port = Number(new URL(JSON.parse(await readFile(ports, "utf8")).nats[0]).port);
        return;
      } catch {
        // not written yet
      }
    }
    throw new Error("the broker is not ready:\n" + await readFile(join(this.folder, "broker.log"), "utf8"));
  }

  get servers() {
    return `127.0.0.1:${this.port}`;
  }

  async end(signal) {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const ended = once(this.process, "exit");
      this.process.kill(signal);
      await ended;
    }
  }

  async crashAndRestart() {
    await this.end("SIGKILL");
    await this.run();
  }

  async stop() {
    await this.end("SIGTERM");
    await rm(this.folder, { recursive: true, force: true });
  }
}
