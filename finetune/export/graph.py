"""Builds an ONNX graph node by node."""
import numpy
from onnx import helper, numpy_helper, TensorProto

OPSET = 17          # released in 2022; recent runtimes support it
IR_VERSION = 8
FLOAT, BOOL = TensorProto.FLOAT, TensorProto.BOOL


class Graph:

    """Nodes, constants, inputs and outputs of a graph; values are represented by their names."""

    def __init__(self):
        self.nodes, self.constants = [], []
        self.inputs, self.outputs = [], []

    def input(self, name, shape, kind=FLOAT):
        """Adds an input; dimensions are numbers, or names of variable dimensions."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name, value, shape):
        """Makes a value an output of the graph."""
        self.nodes.append(helper.make_node('Identity', [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, FLOAT, shape))

    def constant(self, array):
        """Adds a constant array."""
        name = f'c{len(self.constants)}'
        self.constants.append(numpy_helper.from_array(numpy.ascontiguousarray(array), name))
        return name

    def integers(self, *values):
        """Adds a constant array of integers, for shapes and axes."""
        return self.constant(numpy.array(values, numpy.int64))

    def add(self, operator, *values, **attributes):
        """Adds a node and returns its result; arrays among the values become constants."""
        names = [value if isinstance(value, str) else self.constant(value) for value in values]
        result = f'v{len(self.nodes)}'
        self.nodes.append(helper.make_node(operator, names, [result], **attributes))
        return result

    def pooled(self, conv_map):
        """Adds global average pooling of ConvMaps."""
        return self.add('ReduceMean', conv_map, axes=[2, 3], keepdims=0)

    def linear(self, link, x):
        """Adds a :class:`chainer.links.Linear`."""
        return self.add('Gemm', x, link.W.array, link.b.array, transB=1)

    def model(self, name, description, metadata):
        """The graph as an :class:`onnx.ModelProto`; ``metadata`` is a dict of texts."""
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', OPSET)],
                                  ir_version=IR_VERSION, producer_name='fve_layer',
                                  doc_string=description)
        helper.set_model_props(model, metadata)
        return model
