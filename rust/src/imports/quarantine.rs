//! Finds the foreign modules that must stay out of the template, because first-party code acts before they are
//! imported and decides how they come up.

use std::path::Path;

use indexmap::IndexMap;

use crate::imports::effects::{Effect, Kind, UNKNOWN};
use crate::imports::parse::{Context, Parsed};
use crate::imports::resolve::Origin;

/// Top-level modules -> environment keys, or beginnings of keys (`DASK_*`), that are read while they are imported,
/// so that a later write is ignored. Confirmed by tracing the environment during the import of each, in Python and
/// in native code; further keys begin with a module's own name and need no row (`has_own_prefix`).
const SENSITIVE: &[(&[&str], &[&str])] = &[
    // Confirmed: the backend is fixed by rcParams at import. seaborn and statsmodels import matplotlib.
    (&["matplotlib", "pylab", "mpl_toolkits", "seaborn"], &["MPLBACKEND", "MPLCONFIGDIR", "MATPLOTLIBRC"]),
    // Confirmed: the pool is sized once. `_RJEM_MALLOC_CONF` is read by its allocator.
    (&["polars"], &["POLARS_*", "RAYON_NUM_THREADS", "_RJEM_MALLOC_CONF"]),
    // Confirmed: OpenBLAS and OpenMP read these when the library is loaded, and all of these load it.
    (
        &[
            "numpy",
            "scipy",
            "pandas",
            "sklearn",
            "matplotlib",
            "seaborn",
            "statsmodels",
            "xarray",
            "numba",
            "cv2",
            "tables",
            "h5py",
            "pyarrow",
            "jax",
            "jaxlib",
            "xgboost",
            "lightgbm",
            "transformers",
            "torch",
            "dask",
        ],
        &["OMP_*", "OPENBLAS_*", "GOTO_NUM_THREADS", "MKL_*", "NPY_*", "NUMPY_*", "BLIS_NUM_THREADS"],
    ),
    // Traced: numexpr is imported by pandas and tables where it is installed.
    (&["numexpr", "pandas", "tables", "pyarrow"], &["NUMEXPR_*"]),
    // Confirmed: jax.config is filled from the environment at import.
    (&["jax", "jaxlib", "flax", "optax"], &["JAX_*", "XLA_*", "TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES"]),
    // Confirmed: huggingface_hub.constants computes its folders at import.
    (
        &["transformers", "huggingface_hub", "datasets", "tokenizers", "sentence_transformers", "diffusers"],
        &["HF_*", "HUGGINGFACE_*", "TRANSFORMERS_*", "XDG_CACHE_HOME"],
    ),
    // Confirmed: numba.core.config iterates over the whole environment.
    (&["numba", "llvmlite"], &["NUMBA_*", "LLVMLITE_*"]),
    // Confirmed: dask.config collects every DASK_ key.
    (&["dask", "distributed"], &["DASK_*"]),
    // Confirmed: settings profiles are chosen by CI keys.
    (&["hypothesis"], &["CI", "HYPOTHESIS_*", "GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "BUILDKITE", "TF_BUILD"]),
    // Traced: reads of the import itself (`networkx.utils.backends` and `tqdm.utils` iterate over everything).
    (&["networkx"], &["NETWORKX_*"]),
    (&["tqdm", "transformers"], &["TQDM_*"]),
    (&["loguru"], &["LOGURU_*", "CI", "NO_COLOR", "FORCE_COLOR"]),
    (&["structlog"], &["NO_COLOR", "FORCE_COLOR"]),
    (&["textual"], &["TEXTUAL_*", "ESCDELAY"]),
    (&["sympy", "mpmath"], &["SYMPY_*", "MPMATH_*"]),
    (&["pyarrow", "pandas"], &["ARROW_*"]),
    (&["pandas"], &["PANDAS_*"]),
    (&["scipy", "sklearn", "statsmodels"], &["SCIPY_*"]),
    (&["psycopg"], &["PSYCOPG_*"]),
    (
        &["pydantic", "sqlmodel", "fastapi", "openai", "anthropic", "kubernetes"],
        &["PYDANTIC_*", "DEFER_PYDANTIC_BUILD"],
    ),
    (&["grpc", "google"], &["GRPC_*", "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"]),
    (&["google"], &["CLOUDSDK_*", "GOOGLE_API_*", "API_ENDPOINT_OVERRIDE"]),
    (
        &["aiohttp", "multidict", "yarl", "frozenlist", "openai", "anthropic"],
        &["AIOHTTP_*", "MULTIDICT_*", "YARL_*", "FROZENLIST_*"],
    ),
    (&["opentelemetry", "fastapi", "redis", "anthropic"], &["OTEL_*"]),
    (&["sentry_sdk", "gevent"], &["GEVENT_*", "SENTRY_*", "PURE_PYTHON"]),
    (&["playwright"], &["PWDEBUG", "DEBUG", "PWTEST_*"]),
    (&["moto"], &["MOTO_*"]),
    (&["kubernetes"], &["KUBECONFIG"]),
    (&["duckdb"], &["DUCKDB_*"]),
    (&["tables", "h5py"], &["HDF5_*"]),
    (&["zmq", "jupyter_client"], &["PYZMQ_*"]),
    (&["jupyter_core", "jupyter_client", "IPython"], &["JUPYTER_*", "IPYTHONDIR"]),
    (&["tornado"], &["TORNADO_*"]),
    (&["msgpack", "distributed", "ray"], &["MSGPACK_PUREPYTHON"]),
    (&["ray"], &["RAY_*"]),
    (&["tensorflow", "keras"], &["TF_*", "KERAS_*", "CUDA_VISIBLE_DEVICES"]),
    (&["torch"], &["TORCH_*", "PYTORCH_*", "CUDA_VISIBLE_DEVICES"]),
    (&["PIL"], &["PILLOW_*"]),
    (&["typer"], &["TYPER_*"]),
    (&["asyncio", "aiohttp", "openai", "anthropic"], &["PYTHONASYNCIODEBUG"]),
];

/// Modules that read the keys of their own name later, and safely.
const READ_LATER: [&str; 1] = ["django"];

/// Reasons by module, in the modules' order. `files` are the first-party files of the closure, with the path to show.
pub fn of<'a>(
    modules: &[(&str, Origin)],
    files: impl Iterator<Item = (&'a Path, &'a Parsed)>,
) -> IndexMap<String, String> {
    let mut reasons: IndexMap<&str, String> = IndexMap::new();
    for (path, parsed) in files {
        for (name, origin) in modules {
            if reasons.contains_key(name) {
                continue;
            }
            let by_effect = || parsed.effects.iter().find_map(|effect| of_effect(name, *origin, effect));
            let by_plugin = || of_plugins(name, *origin, parsed);
            if let Some((line, reason)) = by_effect().or_else(by_plugin) {
                reasons.insert(name, format!("{reason} ({}:{line})", path.display()));
            }
        }
    }
    let ordered =
        modules.iter().filter_map(|(name, _)| reasons.get(name).map(|reason| ((*name).to_owned(), reason.clone())));
    ordered.collect()
}

fn of_effect(module: &str, origin: Origin, effect: &Effect) -> Option<(u32, String)> {
    let reason = match effect.kind {
        Kind::Patch if effect.detail.starts_with("gevent.monkey.") || effect.detail.starts_with("eventlet.") => {
            format!("{} wants nothing imported before it", effect.detail)
        }
        Kind::Rewrite if is_inside(module, &effect.detail) => "registered for assertion rewriting".to_owned(),
        Kind::Rewrite if effect.detail == UNKNOWN && origin == Origin::Third => {
            "may be registered for assertion rewriting".to_owned()
        }
        Kind::Environment if effect.detail == UNKNOWN && is_sensitive(module) => {
            "reads the environment at import, where keys not known ahead are written".to_owned()
        }
        Kind::Environment if reads(module, &effect.detail) => {
            format!("reads {} at import, which is set before", effect.detail)
        }
        Kind::Patch if effect.detail == format!("sys.modules[{module}]") => "replaced in sys.modules".to_owned(),
        Kind::Patch | Kind::Rewrite | Kind::Environment | Kind::Path => return None,
    };
    Some((effect.line, reason))
}

/// pytest rewrites the assertions of the plugins that it is told to load, if nobody loaded them before.
fn of_plugins(module: &str, origin: Origin, parsed: &Parsed) -> Option<(u32, String)> {
    let mut plugins = parsed.imports.iter().filter(|import| import.context == Context::Plugin);
    let named = plugins.find(|import| origin == Origin::Third && is_inside(module, &import.module))?;
    Some((named.line, "a plugin, which pytest loads with its assertions rewritten".to_owned()))
}

/// `pkg.a` is inside `pkg`; `pkg_a` is not.
fn is_inside(module: &str, package: &str) -> bool {
    module.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn top_of(module: &str) -> &str {
    module.split('.').next().unwrap_or(module)
}

fn rows(module: &str) -> impl Iterator<Item = &'static [&'static str]> + '_ {
    let top = top_of(module);
    SENSITIVE.iter().filter(move |(modules, _)| modules.contains(&top)).map(|(_, keys)| *keys)
}

fn is_sensitive(module: &str) -> bool {
    rows(module).next().is_some()
}

fn reads(module: &str, key: &str) -> bool {
    let is_read = |pattern: &str| match pattern.strip_suffix('*') {
        Some(prefix) => key.starts_with(prefix),
        None => key == pattern,
    };
    rows(module).any(|keys| keys.iter().any(|pattern| is_read(pattern))) || has_own_prefix(module, key)
}

/// `PREFECT_HOME` is prefect's own: packages read such keys when they are imported more often than not.
fn has_own_prefix(module: &str, key: &str) -> bool {
    let top = top_of(module);
    let own = key.len() > top.len()
        && key.as_bytes().get(top.len()) == Some(&b'_')
        && key.get(..top.len()).is_some_and(|start| start.eq_ignore_ascii_case(top));
    own && !READ_LATER.contains(&top)
}
