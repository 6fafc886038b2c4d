// `npm run build`: the worker and backend-mock. With the argument `worker`, the worker alone: so wrangler calls it.
import { buildBackendMock, buildWorker } from "./artifacts.mjs";
import { main } from "./toolkit.mjs";

await main(async () => {
  const workerOnly = process.argv[2] === "worker";
  await Promise.all([buildWorker(), workerOnly || buildBackendMock()]);
});
