// `npm run bench:backend`: measures backend-mock with a large database. About a minute and a half, once it is built.
import { buildBackendMock } from "./artifacts.mjs";
import { main, show } from "./toolkit.mjs";

await main(async () => {
  await buildBackendMock();
  await show("cargo", ["run", "--locked", "--release", "--package", "backend-mock", "--example", "credentials_load"]);
});
