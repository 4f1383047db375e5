"""A page that classifies the pictures dropped on it, served on this machine only."""
import contextlib
import errno
import html
import os
import socket
import tempfile
import webbrowser

from finetune.config.project import HERE
from finetune.document import breakable, literal
from finetune.errors import InputError
from finetune.files import named
from finetune.names import shown
from finetune.prediction.page import listed, STYLE_OF_CLASSES, thumbnail
from finetune.prediction.predictor import load
from finetune.visualize import evidence_picture, mistakes, sheet

HOST = '127.0.0.1'
N_CLASSES = 5
MAX_MISTAKES = 100
FIGURE = '<figure><img loading="lazy" src="{}" alt=""><figcaption>{}</figcaption></figure>'
STYLE = STYLE_OF_CLASSES + """
.mistakes { display: grid; gap: .8rem;
            grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); }
.mistakes figure { margin: 0; min-width: 0; overflow-wrap: anywhere; }
.mistakes img { width: 100%; aspect-ratio: 1; object-fit: contain; background: #f3f3f3; }
"""
# The page may load nothing from elsewhere.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"


def serve(run, gpu=-1, port=7860, opens_browser=True, project=HERE):
    """Serves the page of a run until Ctrl-C.

    Args:
        run (str): Folder of a finished run.
        gpu (int): GPU to compute on; -1: CPU.
        port (int): Port, on 127.0.0.1.
        opens_browser (bool): Whether to open the page in the browser.
        project (finetune.config.project.Project): What the path is relative to.

    """
    with tempfile.TemporaryDirectory() as folder:
        # Pictures are dropped there; Gradio reads these variables when it is imported.
        os.environ.update(GRADIO_TEMP_DIR=folder, GRADIO_ANALYTICS_ENABLED='False',
                          HF_HUB_DISABLE_TELEMETRY='1')
        try:
            import uvicorn
            import gradio  # noqa: F401
        except ImportError:
            raise InputError("demo needs gradio; pip install 'gradio>=6,<7'.")
        with contextlib.closing(_listen(port)) as listener:
            page = _page(run, load(run, gpu, project=project))
            address = f'http://{HOST}:{port}'
            print(f'{address} shows {shown(str(run))}; Ctrl-C ends it.', flush=True)
            if opens_browser:
                webbrowser.open(address)
            server = uvicorn.Server(uvicorn.Config(_application(page), log_level='warning'))
            with contextlib.suppress(KeyboardInterrupt):
                server.run(sockets=[listener])


def _listen(port):
    try:
        with named(f'port {port}'):
            return socket.create_server((HOST, port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise InputError(f'--port {port}: another program uses this port; give another --port.')


def _application(page):
    """The page as a web application, which answers under names of this machine only."""
    import fastapi
    import gradio
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    application = fastapi.FastAPI()
    application.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, 'localhost'])

    @application.middleware('http')
    async def load_nothing_from_elsewhere(request, call_next):
        answer = await call_next(request)
        answer.headers['Content-Security-Policy'] = POLICY
        return answer

    return gradio.mount_gradio_app(
        application, page, path='/', server_name=HOST, footer_links=[], css=STYLE,
        theme=gradio.themes.Default(font=['system-ui', 'sans-serif'], font_mono=['monospace']))


def _page(run, predictor):
    import gradio
    examples = predictor.folder.read_examples()

    def classify(path):
        if path is None:
            return None, None
        try:
            predictor.device.use()
            examined = predictor.examine([predictor.picture(path)])
            prediction = predictor.classify(examined)
        except InputError as error:
            raise gradio.Error(shown(str(error)))
        classes = [{'class': predictor.class_names[label],
                    'probability': prediction.probabilities[0, label]}
                   for label in prediction.top(N_CLASSES)[0]]
        return listed(classes), sheet.as_image(evidence_picture.of_answer(
            predictor, examined, 0, prediction.classes[0], '', examples))

    with gradio.Blocks(title=f'{shown(str(run))}: classes of pictures') as page:
        gradio.Markdown(f'The model {literal(str(run))} names one of its '
                        f'{len(predictor.class_names)} classes for every picture, also for a '
                        'picture of something else.' + (
                            '' if predictor.stream == 'both' else ' The parts of pictures are '
                            'unknown, so that it sees the whole picture only.'))
        with gradio.Tab('Classify a picture'):
            with gradio.Row():
                with gradio.Column():
                    picture = gradio.Image(type='filepath', image_mode=None, label='Picture',
                                           sources=['upload', 'clipboard'])
                with gradio.Column():
                    classes = gradio.HTML()
            evidence = gradio.Image(label='Parts and evidence', show_label=False,
                                    interactive=False, buttons=['download', 'fullscreen'])
            picture.change(classify, picture, [classes, evidence])
        with gradio.Tab('Mistakes'):
            _show_mistakes(predictor.folder)
    return page


def _show_mistakes(folder):
    """Shows the misclassified test images, or says why they cannot be shown."""
    import gradio
    try:
        found, n_tested = mistakes.find(folder)
        figures = [
            FIGURE.format(thumbnail(mistake.image()), breakable(html.escape(mistake.caption)))
            for mistake in found[:MAX_MISTAKES]]
    except (InputError, OSError) as error:
        gradio.Textbox(f'The test images cannot be shown: {shown(str(error))}', show_label=False)
        return
    left_out = f' The first {MAX_MISTAKES}:' if len(found) > MAX_MISTAKES else ''
    gradio.Markdown(f'{len(found)} of {n_tested} test images are misclassified.{left_out}')
    gradio.HTML(f'<div class="mistakes">{"".join(figures)}</div>')
