"""An ONNX graph that grows node by node."""
import numpy
from onnx import helper, numpy_helper, TensorProto

OPSET = 17          # of 2022: runtimes of the last years have it
IR_VERSION = 8
FLOAT, BOOL = TensorProto.FLOAT, TensorProto.BOOL


class Graph:

    """Nodes and constants of a graph; values are called by their names.

    Attributes:
        inputs, outputs (list): Of the graph, in their order.

    """

    def __init__(self):
        self.nodes, self.constants = [], []
        self.inputs, self.outputs = [], []

    def input(self, name, shape, kind=FLOAT):
        """An input of the graph; dimensions are numbers, or names of those that vary."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name, value, shape):
        """Makes a value an output of the graph."""
        self.nodes.append(helper.make_node('Identity', [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, FLOAT, shape))

    def constant(self, array):
        """An array that is part of the graph."""
        name = f'c{len(self.constants)}'
        self.constants.append(numpy_helper.from_array(numpy.ascontiguousarray(array), name))
        return name

    def integers(self, *values):
        """A constant of shapes or axes."""
        return self.constant(numpy.array(values, numpy.int64))

    def add(self, operator, *values, **attributes):
        """A node; returns its result. Arrays among the values become constants."""
        names = [value if isinstance(value, str) else self.constant(value) for value in values]
        result = f'v{len(self.nodes)}'
        self.nodes.append(helper.make_node(operator, names, [result], **attributes))
        return result

    def pooled(self, conv_map):
        """Global average pooling of ConvMaps."""
        return self.add('ReduceMean', conv_map, axes=[2, 3], keepdims=0)

    def linear(self, link, x):
        """A :class:`chainer.links.Linear`."""
        return self.add('Gemm', x, link.W.array, link.b.array, transB=1)

    def model(self, name, description, metadata):
        """The whole as an :class:`onnx.ModelProto`, with texts by name as its metadata."""
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', OPSET)],
                                  ir_version=IR_VERSION, producer_name='fve_layer',
                                  doc_string=description)
        helper.set_model_props(model, metadata)
        return model
