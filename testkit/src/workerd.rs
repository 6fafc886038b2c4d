//! The worker in workerd, as Cloudflare runs it.

use std::{
    env,
    fmt::Write as _,
    fs, io,
    os::fd::RawFd,
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;

use crate::{
    host::{Host, Setup},
    wrangler::{Binding, Wrangler, root},
};

const CONFIG: &str = "config.capnp";

/// A file of a worker.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its name, by which the others import it. What ends in `.wasm` is WebAssembly, and all else JavaScript.
    pub name: &'static str,
    /// Its content.
    pub bytes: Bytes,
}

/// workerd, and the worker that it is given.
#[derive(Clone, Debug)]
pub struct Workerd {
    program: PathBuf,
    wrangler: Wrangler,
    /// The worker's files, of which the first one is what it begins with.
    pub modules: Vec<Module>,
    /// Flags of V8.
    pub v8_flags: Vec<String>,
}

impl Workerd {
    /// workerd at `WORKERD_BIN`, else in `node_modules`, with these modules.
    ///
    /// # Errors
    /// When it is not there.
    pub fn new(modules: Vec<Module>) -> io::Result<Self> {
        Ok(Self {
            program: program()?,
            wrangler: Wrangler::read()?,
            modules,
            v8_flags: Vec::new(),
        })
    }

    /// The same with the built worker.
    ///
    /// # Errors
    /// When something is not there.
    pub fn with_built_worker() -> io::Result<Self> {
        Self::new(built_worker()?.into())
    }

    /// Where the program is.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    fn config(&self, setup: &Setup, disk: &Path) -> String {
        let objects = if setup.has_objects {
            self.wrangler.objects()
        } else {
            &[]
        };
        let mut services = vec![
            "(name = \"internet\", network = (allow = [\"public\", \"private\", \"local\"]))"
                .to_owned(),
        ];
        if !objects.is_empty() {
            services.push(format!(
                "(name = \"disk\", disk = (path = {:?}, writable = true))",
                disk.display().to_string()
            ));
        }
        let (mut sockets, mut workers) = (Vec::new(), String::new());
        for isolate in 0..setup.isolates {
            let name = service(isolate);
            services.push(format!("(name = \"{name}\", worker = .{name})"));
            sockets.push(format!(
                "(name = \"{name}\", http = (), service = \"{name}\")"
            ));
            let worker = self.worker(setup, objects, isolate);
            let _ = writeln!(workers, "const {name} :Workerd.Worker = {worker};");
        }
        let flags = self.v8_flags.iter().map(|flag| format!("{flag:?}"));
        format!(
            "using Workerd = import \"/workerd/workerd.capnp\";\n\
             const config :Workerd.Config = (\n  services = {},\n  sockets = {},\n  v8Flags = {},\n);\n{workers}",
            list(services),
            list(sockets),
            list(flags)
        )
    }

    /// An isolate's worker. The first one's has the Durable Objects, and the others have bindings to them.
    fn worker(&self, setup: &Setup, objects: &[Binding], isolate: usize) -> String {
        let modules = self.modules.iter().map(Module::declaration);
        let mut bindings: Vec<String> = setup
            .variables
            .iter()
            .map(|(name, value)| format!("(name = {name:?}, text = {value:?})"))
            .collect();
        let first = service(0);
        bindings.extend(objects.iter().map(|Binding { name, class_name }| {
            format!(
                "(name = {name:?}, durableObjectNamespace = (className = {class_name:?}, serviceName = \"{first}\"))"
            )
        }));
        let mut fields = vec![
            format!("modules = {}", list(modules)),
            format!("compatibilityDate = {:?}", self.wrangler.compatibility_date),
            format!("bindings = {}", list(bindings)),
        ];
        if isolate == 0 && !objects.is_empty() {
            let classes = objects.iter().map(|Binding { name, class_name }| {
                format!("(className = {class_name:?}, uniqueKey = {name:?}, enableSql = true)")
            });
            fields.push(format!("durableObjectNamespaces = {}", list(classes)));
            fields.push("durableObjectStorage = (localDisk = \"disk\")".to_owned());
        }
        format!("(\n  {},\n)", fields.join(",\n  "))
    }
}

impl Host for Workerd {
    fn command(
        &self,
        setup: &Setup,
        sockets: &[RawFd],
        folder: &Path,
        disk: &Path,
    ) -> io::Result<Command> {
        // `embed` takes paths beside the config.
        for module in &self.modules {
            fs::write(folder.join(module.name), &module.bytes)?;
        }
        fs::write(folder.join(CONFIG), self.config(setup, disk))?;
        let mut command = Command::new(&self.program);
        command.args(["serve", CONFIG]);
        for (isolate, socket) in sockets.iter().enumerate() {
            command.arg(format!("--socket-fd={}={socket}", service(isolate)));
        }
        Ok(command)
    }
}

impl Module {
    fn declaration(&self) -> String {
        let name = self.name;
        if Path::new(name).extension().is_some_and(|end| end == "wasm") {
            format!("(name = \"./{name}\", wasm = embed \"{name}\")")
        } else {
            format!("(name = \"{name}\", esModule = embed \"{name}\")")
        }
    }
}

/// The script and the WebAssembly of the worker that was built, in `WORKER_BUILD_DIR` or else in `build`.
///
/// # Errors
/// When it is not built.
pub fn built_worker() -> io::Result<[Module; 2]> {
    let folder =
        env::var_os("WORKER_BUILD_DIR").map_or_else(|| root().join("build"), PathBuf::from);
    let module = |name| {
        let path = folder.join(name);
        let bytes = fs::read(&path).map_err(|error| {
            let path = path.display();
            io::Error::other(format!(
                "{error}: {path}; build the worker first, with npm run build"
            ))
        })?;
        io::Result::Ok(Module {
            name,
            bytes: bytes.into(),
        })
    };
    Ok([module("index.js")?, module("index_bg.wasm")?])
}

/// The name of an isolate's service, and of its socket.
fn service(isolate: usize) -> String {
    format!("isolate{isolate}")
}

/// A list as Cap'n Proto writes it.
fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    format!("[{}]", items.join(", "))
}

/// The program itself, not npm's script that starts it: the script would be what is killed and
/// measured in its place.
fn program() -> io::Result<PathBuf> {
    let given = env::var_os("WORKERD_BIN").map(PathBuf::from);
    let path = given.unwrap_or_else(|| root().join("node_modules/workerd/bin/workerd"));
    let path = path.canonicalize().map_err(|error| {
        let path = path.display();
        io::Error::other(format!(
            "{error}: {path}; run npm ci, or set WORKERD_BIN to the program"
        ))
    })?;
    if !is_script(&path)? {
        return Ok(path);
    }
    let platform = match (env::consts::OS, env::consts::ARCH) {
        ("macos", "aarch64") => "darwin-arm64",
        ("macos", _) => "darwin-64",
        (_, "aarch64") => "linux-arm64",
        _ => "linux-64",
    };
    path.ancestors()
        .map(|folder| folder.join(format!("@cloudflare/workerd-{platform}/bin/workerd")))
        .find(|program| program.exists())
        .ok_or_else(|| {
            let path = path.display();
            io::Error::other(format!(
                "{path} is a script; set WORKERD_BIN to the program that it starts"
            ))
        })
}

fn is_script(path: &Path) -> io::Result<bool> {
    let mut head = [0; 2];
    io::Read::read_exact(&mut fs::File::open(path)?, &mut head)?;
    Ok(&head == b"#!")
}
